#include "evenkeel/runs/progress.h"

#include <cmath>

#include "evenkeel/runs/records.h"
#include "evenkeel/runs/run_writer.h"

namespace evenkeel::runs {
Progress progress_of(const Cell& cell) {
  Progress p;
  p.steps = cell.steps;
  const auto records = read_records(cell.run / "metrics.jsonl");
  if (const Series train = scalar_series(records, "loss/train/ce"); !train.values.empty()) {
    p.train_loss = train.values.back();
  }
  if (cell.result) {
    p.state = cell.result->label;
    p.step = cell.result->steps;
    p.loss = cell.result->final_loss;
    return p;
  }
  p.state = is_being_written(cell.run) ? "running" : "interrupted";
  if (!records.empty() && records.back().contains("step"))
    p.step = records.back().at("step").get<std::int64_t>();
  if (const Series valid = scalar_series(records, "loss/valid/ce"); !valid.values.empty())
    p.loss = valid.values.back();
  return p;
}

Json summary_json(const Cell& cell, const Progress& progress) {
  const auto number = [](const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); };
  const auto known = [](double value) { return std::isnan(value) ? Json(nullptr) : Json(value); };
  return {{"run", cell.run.string()},
          {"state", progress.state},
          {"steps", progress.step},
          {"planned_steps", progress.steps},
          {"loss", number(progress.loss)},
          {"train_loss", number(progress.train_loss)},
          {"l0", known(cell.l0)},
          {"size", cell.size},
          {"params", cell.params < 0 ? Json(nullptr) : Json(cell.params)},
          {"lr", known(cell.lr)},
          {"seed", cell.seed},
          {"relapsed", cell.result ? Json(cell.result->relapsed) : Json(nullptr)},
          {"config_hash", cell.config_hash}};
}

}  // namespace evenkeel::runs
