// summary.jsonl: what the line files of a finished run come to, so that listing, analysis and the report of
// ten thousand runs open none of them. One record per line, like the line files: facts, configuration,
// numbers, then a series or a kind of attention each. It is derived: without it, or where it may be stale,
// the line files are read and say the same.
#pragma once

#include <filesystem>
#include <optional>

#include "evenkeel/runs/cell.h"
#include "evenkeel/runs/signals.h"

namespace evenkeel::runs {

/// Points that a series of a summary keeps (runs/signals.h, thin).
inline constexpr std::size_t kSummaryPoints = 160;

/// Writes the summary of a run whose line files are whole and whose result, about to be written, is `result`.
void write_summary(const fs::path& run, const Result& result);

/// The record that ends timing.jsonl, made of all that stand in it: a reader needs the last line alone. null
/// when the run has no clock.
Json median_step(const fs::path& run);

/// The cell of a finished run by its summary; nullopt where there is none, where it does not check or belongs
/// to another result, and where a file it stands for was changed after the run ended.
std::optional<Cell> cell_from_summary(const fs::path& run, const Result& result);

/// Outcomes of a run, of its summary where the cell came from one; else of the line files.
Outcomes outcomes_of(const Cell& cell);

/// Signals of a run: of its summary where the cell came from one, its series thinned to kSummaryPoints; else
/// of the line files, whole.
Signals signals_of(const Cell& cell);

/// Median wall time of a step, ms, by the run's clock; NaN when it recorded none.
double step_ms(const Cell& cell);
/// Last training loss on record, nat.
std::optional<double> last_train_loss(const Cell& cell);
/// runs/effective_lr.h
double effective_lr_of(const Cell& cell);

}  // namespace evenkeel::runs
