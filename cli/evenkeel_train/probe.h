// `evenkeel-train probe`: answers `evenkeel probe` (docs/formats/probe.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace evenkeel::cli {

struct ProbeArguments {
  std::string probe;
  std::vector<std::string> folders;  ///< of runs or of sweeps
  std::string step;                  ///< "" the newest checkpoint, "all", or a number
  std::string experiment;            ///< resolved, as JSON, in place of folders: the model at initialisation
  std::int64_t batch = 8, threads = 1;
  int iterations = 40, seeds = 0;  ///< seeds 0: as many as the probe takes
  std::int64_t steps = 30;
  std::vector<std::int64_t> widths{32, 64, 128, 256};
  std::optional<double> size;
  std::string precision = "double", change = "random";
  bool json = false;
};

/// Reads what `evenkeel probe` hands over.
void add_probe(CLI::App& command, ProbeArguments& arguments);

/// Measures and prints; the exit code.
int probe(const ProbeArguments& arguments);

}  // namespace evenkeel::cli
