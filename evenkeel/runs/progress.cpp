#include "evenkeel/runs/progress.h"

#include <cmath>

#include "evenkeel/runs/records.h"
#include "evenkeel/runs/run_writer.h"
#include "evenkeel/runs/summary.h"

namespace evenkeel::runs {

Progress progress_of(const Cell& cell) {
  Progress p;
  p.steps = cell.steps;
  p.train_loss = last_train_loss(cell);
  if (cell.result) {
    p.state = cell.result->label;
    p.step = cell.result->steps;
    p.loss = cell.result->final_loss;
    return p;
  }
  p.state = is_being_written(cell.run) ? "running" : "interrupted";
  Series valid;
  for_each_record(cell.run / "metrics.jsonl", [&](Json&& record) {
    if (record.contains("step")) p.step = integer_from_json(record.at("step"), "step");
    add_scalar(valid, record, "loss/valid/ce");
  });
  if (!valid.values.empty()) p.loss = valid.values.back();
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
