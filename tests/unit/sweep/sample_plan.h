// A small plan for tests of the sweep: data that exists only in these facts.
#pragma once

#include "evenkeel/sweep/plan.h"

namespace evenkeel::test {

inline sweep::OpenedData sample_data(const DataSpec&, std::int64_t) {
  return {{DataKind::kSynthetic, 256, "0123"}, {"sample", 4.5, 3.0, 2.0, -1}};
}

inline SweepSpec sample_spec(const std::string& toml) {
  return sweep_from(settings_from_toml_text(toml, "sample.toml", {"sweep"}), {});
}

inline sweep::Plan sample_plan(const std::string& toml) {
  return sweep::make_plan(sample_spec(toml), sample_data, false);
}

}  // namespace evenkeel::test
