#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cmath>

#include "evenkeel/analysis/load.h"
#include "evenkeel/base/error.h"
#include "evenkeel/runs/progress.h"
#include "evenkeel/runs/records.h"
#include "evenkeel/tables/table_sink.h"

namespace evenkeel::tables {
namespace {

constexpr std::array kFormats{
    Format{"csv", "a folder with runs.csv, records.csv and events.csv", csv_sink},
    Format{"sqlite", "one database with tables runs, records and events", sqlite_sink},
    Format{"tensorboard", "a folder of event files, one for each run", tensorboard_sink},
};

/// The analysis' NaN stands for what is not known.
std::optional<double> known(double value) {
  return std::isnan(value) ? std::nullopt : std::optional(value);
}

RunRow row_of(const analysis::LoadedCell& cell, const fs::path& folder) {
  const analysis::CellPoint& p = cell.point;
  const runs::Progress progress = runs::progress_of(cell.cell);
  RunRow row;
  const fs::path seen = cell.cell.run.lexically_relative(folder);
  row.run = seen.empty() || seen == "." ? cell.cell.run.filename().string() : seen.string();
  row.arm = p.arm;
  row.size = p.size;
  row.state = progress.state;
  row.config_hash = cell.cell.config_hash;
  if (p.params >= 0) row.params = p.params;
  row.seed = p.seed;
  row.steps = progress.step;
  row.lr = known(p.lr);
  row.loss = progress.loss;
  row.train_loss = progress.train_loss;
  row.l0 = known(p.l0);
  row.effective_lr = known(p.effective_lr);
  row.step_ms = known(p.step_ms);
  row.config = cell.cell.config;
  return row;
}

void add_values(const Json& record, TableSink& sink, Exported& done) {
  if (!record.contains("step")) return;
  const auto step = integer_from_json(record.at("step"), "step");
  for (const auto& [key, value] : record.items()) {
    if (key == "step") continue;
    if (value.is_number()) {
      sink.value(step, key, -1, number_from_json(value, key));
      ++done.values;
    } else if (value.is_array()) {
      for (std::size_t head = 0; head < value.size(); ++head)
        sink.value(step, key, static_cast<int>(head), number_from_json(value[head], key));
      done.values += static_cast<std::int64_t>(value.size());
    }
  }
}

}  // namespace

std::span<const Format> formats() {
  return kFormats;
}

Exported export_runs(const fs::path& folder, TableSink& sink) {
  const analysis::LoadedSweep sweep = analysis::load_sweep(folder);
  Exported done;
  done.damage = sweep.damage;
  for (const analysis::LoadedCell& cell : sweep.cells) {
    if (!cell.begun) continue;
    sink.run(row_of(cell, folder));
    ++done.runs;
    for (const char* name : {"metrics.jsonl", "heads.jsonl"})
      runs::for_each_record(cell.cell.run / name, [&](Json&& record) { add_values(record, sink, done); });
    runs::for_each_record(cell.cell.run / "events.jsonl", [&](Json&& event) {
      sink.event(integer_from_json(event.value("step", Json(0)), "step"), event.value("kind", ""));
      ++done.events;
    });
  }
  sink.finish();
  return done;
}

fs::path absent(const fs::path& out) {
  const fs::path plain = out.has_filename() ? out : out.parent_path();
  std::error_code error;
  if (fs::exists(fs::symlink_status(plain, error)))
    throw InputError(
        fmt::format("{} is there already and is not replaced; choose another --out", plain.string()));
  return plain;
}

fs::path in_the_making(const fs::path& out) {
  for (int n = 0;; ++n) {
    fs::path part = out;
    part.replace_filename(fmt::format(".{}.{}.{}", out.filename().string(), ::getpid(), n));
    if (!fs::exists(fs::symlink_status(part))) return part;
  }
}

}  // namespace evenkeel::tables
