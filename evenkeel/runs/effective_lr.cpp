#include "evenkeel/runs/effective_lr.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "evenkeel/base/median.h"
#include "evenkeel/runs/records.h"

namespace evenkeel::runs {

std::optional<double> update_ratio(const Json& record) {
  constexpr std::string_view kUpdate = "update_rms", kTensor = "tensor/";
  std::vector<double> ratios;
  for (const auto& [key, value] : record.items()) {
    if (!key.starts_with(kTensor) || !key.ends_with(kUpdate)) continue;
    const auto size = record.find(key.substr(0, key.size() - kUpdate.size()) + "param_rms");
    if (size == record.end()) continue;
    const double rms = number_from_json(*size, key);
    if (rms != 0) ratios.push_back(number_from_json(value, key) / rms);
  }
  if (ratios.empty()) return std::nullopt;
  const bool finite = std::all_of(ratios.begin(), ratios.end(), [](double r) { return std::isfinite(r); });
  return finite ? median_of_finite(std::move(ratios)) : std::nan("");
}

double effective_lr(const std::filesystem::path& run) {
  std::vector<double> ratios;
  for_each_record(run / "heads.jsonl", [&](Json&& record) {
    if (const auto ratio = update_ratio(record)) ratios.push_back(*ratio);
  });
  return median_of_finite(std::move(ratios));
}

}  // namespace evenkeel::runs
