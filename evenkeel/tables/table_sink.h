// Runs as tables for other programs: CSV, SQLite, TensorBoard. A format is one file that implements
// TableSink, and one line in formats(). docs/formats/tables.md describes what they write.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "evenkeel/base/json.h"

namespace evenkeel::tables {

namespace fs = std::filesystem;

/// What is said of a run beside its records. NaN: known to be no number; nullopt: not known.
struct RunRow {
  std::string run;  ///< folder, as seen from the one that was exported
  std::string arm, size, state, config_hash;
  std::optional<std::int64_t> params, seed, steps;
  std::optional<double> lr, loss, train_loss, l0, effective_lr, step_ms;
  Json config;  ///< resolved; empty for runs made elsewhere
};

class TableSink {
 public:
  virtual ~TableSink() = default;
  /// What follows is of this run.
  virtual void run(const RunRow& row) = 0;
  /// `head` -1: the metric has one value.
  virtual void value(std::int64_t step, std::string_view metric, int head, double value) = 0;
  virtual void event(std::int64_t step, const std::string& kind) = 0;
  /// All is written: only now does it appear under its name.
  virtual void finish() = 0;
};

struct Format {
  std::string_view name;
  std::string_view what;  ///< for the help
  std::unique_ptr<TableSink> (*make)(const fs::path& out);
};
std::span<const Format> formats();

std::unique_ptr<TableSink> csv_sink(const fs::path& folder);
std::unique_ptr<TableSink> sqlite_sink(const fs::path& file);
std::unique_ptr<TableSink> tensorboard_sink(const fs::path& folder);

struct Exported {
  std::int64_t runs = 0, values = 0, events = 0;
  std::vector<std::string> damage;  ///< runs and lines that were left out, a sentence each
};
/// Writes every run of `folder` (a sweep, or runs) to `sink`. Throws InputError when there is none.
Exported export_runs(const fs::path& folder, TableSink& sink);

/// `out` without a last slash. Throws InputError when something is there already: nothing is ever replaced.
fs::path absent(const fs::path& out);
/// Where `out` is made before it gets its name: beside it, a name that is nobody's.
fs::path in_the_making(const fs::path& out);

}  // namespace evenkeel::tables
