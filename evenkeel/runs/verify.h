// Is a run still what was written? Every file of it carries a hash of itself, of its lines or of its
// neighbours (docs/formats/run_directory.md); here they are compared.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "evenkeel/runs/manifest.h"

namespace evenkeel::runs {

/// What is wrong with the line files of a run, a sentence each. A torn last line is no damage in a run that
/// has not ended: the process that wrote it was killed, and a resumed run cuts it.
std::vector<std::string> line_file_damage(const fs::path& run, const std::optional<Result>& result);

struct CheckedFile {
  fs::path file;
  std::string damage;  ///< a sentence; "" when it is whole
};

/// Every file of a run and of its checkpoints.
std::vector<CheckedFile> verify_run(const fs::path& run);

}  // namespace evenkeel::runs
