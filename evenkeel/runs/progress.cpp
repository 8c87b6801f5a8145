#include "evenkeel/runs/progress.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "evenkeel/config/settings.h"
#include "evenkeel/runs/records.h"
#include "evenkeel/runs/run_writer.h"

namespace evenkeel::runs {
namespace {

const std::set<std::string> kOwnColumn{"optim.lr",   "train.seed", "arch.size",  "arch.ladder",
                                       "arch.width", "arch.depth", "arch.heads", "arch.ffn_width"};

std::string last_part(const std::string& path) {
  return path.substr(path.rfind('.') + 1);
}

std::string value_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

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

std::vector<std::string> settings_that_differ(const std::vector<Cell>& cells) {
  std::vector<Settings> all;
  std::map<std::string, std::set<Json>> values;
  for (const Cell& cell : cells) {
    all.push_back(settings_from_json(cell.config, cell.run.string()));
    for (const auto& [path, setting] : all.back()) values[path].insert(setting.value);
  }
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    std::string text = cells[i].arm_hint;
    if (text.empty()) {
      for (const auto& [path, setting] : all[i]) {
        if (values[path].size() < 2 || kOwnColumn.count(path)) continue;
        if (!text.empty()) text += ',';
        text += fmt::format("{}={}", last_part(path), value_text(setting.value));
      }
    }
    texts.push_back(text);
  }
  return texts;
}

}  // namespace evenkeel::runs
