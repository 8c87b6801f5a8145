#include "evenkeel/probes/probe.h"

#include <fmt/format.h>

#include "evenkeel/base/error.h"
#include "evenkeel/probes/coordinates.h"
#include "evenkeel/probes/dependency.h"
#include "evenkeel/probes/gradients.h"
#include "evenkeel/probes/output_change.h"
#include "evenkeel/probes/sharpness.h"
#include "evenkeel/probes/spectra.h"

namespace evenkeel::probes {

const std::vector<Probe>& all() {
  static const std::vector<Probe> probes{sharpness_probe(),     spectra_probe(),   dependency_probe(),
                                         output_change_probe(), gradients_probe(), coordinates_probe()};
  return probes;
}

const Probe& find(const std::string& name) {
  std::string names;
  for (const Probe& probe : all()) {
    if (probe.name == name) return probe;
    names += (names.empty() ? "" : ", ") + std::string(probe.name);
  }
  throw InputError(fmt::format("there is no probe \"{}\"; there are {}", name, names));
}

Json measure(const Probe& probe, const Json& run, const Subject& subject, const Options& options) {
  std::int64_t parameters = subject.model->count();
  return {{"run", run},
          {"config_hash", subject.config_hash},
          {"step", subject.step},
          {"lr", subject.lr},
          {"optimiser", enum_name(subject.experiment.optim.algorithm)},
          {"parameters", parameters},
          {"batch", {{"sequences", subject.batch.inputs.size(0)}, {"tokens", subject.batch.inputs.numel()}}},
          {"precision", options.type == at::kDouble ? "double" : "fp32"},
          {probe.name, probe.measure(subject, options)}};
}

std::string subject_text(const Json& answer) {
  if (answer.at("run").is_null()) return "at initialisation";
  return fmt::format("{}, step {}", answer.at("run").get<std::string>(),
                     answer.at("step").get<std::int64_t>());
}

std::string number_text(const Json& value, const char* form) {
  return value.is_null() ? "-" : fmt::format(fmt::runtime(form), number_from_json(value, "answer"));
}

}  // namespace evenkeel::probes
