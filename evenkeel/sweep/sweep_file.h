// sweep.json: which cells a sweep's folder holds and how far each is (docs/formats/sweep.md). Written whole
// at every change, so that it is never half new.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "evenkeel/sweep/plan.h"

namespace evenkeel::sweep {

namespace fs = std::filesystem;

/// done means that the cell ended with a result (finished, not learned or non-finite: all are results).
enum class CellState { kPending, kRunning, kDone, kCrashed, kInterrupted };
std::string_view state_name(CellState state);
/// nullopt: no state is called so.
std::optional<CellState> state_from(std::string_view name);

struct CellEntry {
  std::string hash, arm, size;
  double lr = 0;
  std::int64_t seed = 0;
  std::int64_t params = 0;
  int round = 0;  ///< of refinement; 0: of the grid
  CellState state = CellState::kPending;
  std::string label;          ///< of its result; "" until done
  std::int64_t attempts = 0;  ///< how often a trainer was started on it
  std::string message;        ///< last sentence of a trainer that failed
  bool dropped = false;       ///< left out of this sweep, so not written
};

struct SweepFile {
  StudySpec study;
  Json axes = Json::object();      ///< path -> values
  std::vector<CellEntry> cells;    ///< in the order in which they run
  std::vector<std::string> notes;  ///< what was left out and why, for people
};

/// Folder of one cell below the sweep's folder.
fs::path cell_folder(const fs::path& sweep, const std::string& hash);

/// A fresh file for `plan`; cells that already have a result below `sweep` are done, attempts are taken over
/// from `before`. Cells with a damaged manifest or result begin anew, as add_entry() says.
SweepFile start_sweep_file(const Plan& plan, const fs::path& sweep, const std::optional<SweepFile>& before);

/// Appends the entry of `cell`, done when it has a result below `sweep`. A folder with a damaged manifest or
/// result is moved to damaged/ below `sweep`, which the entry's message tells, and the cell is to run again.
/// Of a cell that is done, the log that a killed sweep left is removed.
void add_entry(SweepFile& file, const Cell& cell, const fs::path& sweep);

/// With what journals say since (sweep/journal.h); nullopt when the folder holds none. Throws InputError when
/// it is damaged or of a newer format.
std::optional<SweepFile> read_sweep_file(const fs::path& sweep);
void write_sweep_file(const fs::path& sweep, const SweepFile& file);

/// Folders below cells/ that the file does not name: of an earlier version of the study. They are kept and
/// unused.
std::vector<std::string> strangers(const fs::path& sweep, const SweepFile& file);

/// Creates the run folder of a cell with its manifest, unless it is there already. Throws InputError when the
/// folder holds a run of another configuration, or files that a run would replace and no run wrote.
void prepare_run(const fs::path& run, const Cell& cell);

}  // namespace evenkeel::sweep
