// Foreign logs as run directories: a CSV table of losses becomes one run directory per run, which listing,
// analysis and report read like runs of evenkeel's own.
//
// Fields: loss (needed; validation cross-entropy, nat; "nan", "inf" and "-inf" are values, an empty field is
// an error), train_loss, run, step, lr, params, size, seed, arm, l0, h1. Without step every row is one run
// and its loss the final one. With step, rows of the same run are its records: the row of the last step gives
// the final loss, a row of step 0 gives l0 unless l0 is mapped. A run is nonfinite when its losses become
// non-finite and stay so to its last row; one that a finite loss follows was not evaluated there. Without
// run, rows that agree in arm, size, params, lr and seed are one run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::runs {

/// Field of a run -> column of the table.
using ImportMap = std::map<std::string, std::string>;

/// From words such as "run=name,loss=final_loss". Throws InputError for an unknown field (with "did you
/// mean"), a repeated one, or no loss.
ImportMap parse_import_map(const std::vector<std::string>& words);

struct ImportSummary {
  std::int64_t rows = 0, runs = 0;
  std::int64_t nonfinite = 0;           ///< runs with that label
  std::int64_t isolated_nonfinite = 0;  ///< losses that are not finite although a finite one follows
  std::int64_t open_line = 0;  ///< the last line when it has no end, so that its last value may be cut off
};

/// Reads all of `file`, then writes one folder per run into `out`, which must be absent or empty. Throws
/// InputError naming file and line for a bad table, a missing column, a value that is no number or out of
/// range, a field that changes within a run, and repeated steps or runs; nothing is written then.
ImportSummary import_csv(const std::filesystem::path& file, const ImportMap& map,
                         const std::filesystem::path& out);

/// What import_csv checks of a table before it writes anything; returns the number of runs.
std::size_t check_csv(std::string_view text, const std::filesystem::path& file, const ImportMap& map);

}  // namespace evenkeel::runs
