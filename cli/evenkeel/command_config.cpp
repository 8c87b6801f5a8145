// evenkeel config: what a study resolves to and costs, every field there is, and the pages of docs/reference.
#include <fmt/format.h>

#include <algorithm>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/core_speed.h"
#include "cli/evenkeel/output.h"
#include "cli/evenkeel/sweep_session.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/reference/pages.h"
#include "evenkeel/sweep/process.h"
#include "evenkeel/telemetry/metric_table.h"

namespace evenkeel::cli {
namespace {

constexpr const char* kCheckExamples =
    "Examples:\n"
    "  evenkeel config check study.toml\n"
    "  evenkeel config check study.toml --set data.path=my_text.txt --json";

struct SizeCost {
  std::string size;
  std::int64_t params = 0, cells = 0;
  double tokens = 0, flops = 0;
};

std::vector<SizeCost> costs_of(const sweep::Plan& plan) {
  std::vector<SizeCost> costs;
  for (const sweep::Cell& cell : plan.cells) {
    const Experiment& e = cell.experiment;
    const auto same = [&](const SizeCost& cost) {
      return cost.size == *e.arch.size && cost.params == e.arch.params();
    };
    auto it = std::find_if(costs.begin(), costs.end(), same);
    if (it == costs.end()) it = costs.insert(it, {*e.arch.size, e.arch.params(), 0, 0, 0});
    ++it->cells;
    it->tokens += static_cast<double>(e.train.steps * e.tokens_per_step());
    it->flops += sweep::train_flops(e);
  }
  return costs;
}

// Values of the cells for one field, in order of first use.
std::vector<std::string> values_of(const std::vector<Json>& configs, std::string path) {
  std::replace(path.begin(), path.end(), '.', '/');
  std::vector<std::string> values;
  for (const Json& config : configs) {
    const std::string text = config.at(Json::json_pointer("/" + path)).dump();
    if (std::find(values.begin(), values.end(), text) == values.end()) values.push_back(text);
  }
  return values;
}

std::string origin_text(const SweepSpec& spec, const std::string& path) {
  for (const Axis& axis : spec.axes) {
    if (std::find(axis.paths.begin(), axis.paths.end(), path) != axis.paths.end())
      return "axis, " + axis.origin;
  }
  if (const auto it = spec.base.find(path); it != spec.base.end()) return it->second.origin;
  return "default";
}

void print_fields(const SweepSpec& spec, const sweep::Plan& plan, const Style& style) {
  std::vector<Json> configs;
  for (const sweep::Cell& cell : plan.cells) configs.push_back(to_json(cell.experiment));
  for (const FieldDoc& field : describe<Experiment>()) {
    std::string text;
    for (const std::string& value : values_of(configs, field.path))
      text += (text.empty() ? "" : ", ") + value;
    const std::string origin = origin_text(spec, field.path);
    const std::string line = printable(fmt::format("{:<30} {}", field.path, text));
    print_out("{}\n", origin == "default" ? line : fmt::format("{}  {}", line, style.dim("# " + origin)));
  }
}

std::string range_text(double least, double most) {
  const std::string low = duration_text(least), high = duration_text(most);
  return low == high ? low : low + " to " + high;
}

void print_costs(const sweep::Plan& plan, const Style& style) {
  const Precision precision = plan.cells.front().experiment.train.precision;
  const double speed = product_flops_per_s(precision);
  const auto time_of = [&](double flops) {
    return range_text(flops / (kLargestShare * speed), flops / (kLeastShare * speed));
  };
  std::vector<std::vector<std::string>> rows{
      {"size", "N", "cells", "tokens", "training FLOP", "time on one core"}};
  double flops = 0;
  for (const SizeCost& cost : costs_of(plan)) {
    flops += cost.flops;
    rows.push_back({cost.size, count_text(static_cast<double>(cost.params)), std::to_string(cost.cells),
                    count_text(cost.tokens), fmt::format("{:.2g}", cost.flops), time_of(cost.flops)});
  }
  const auto jobs = std::min(static_cast<std::size_t>(sweep::usable_cores()), plan.cells.size());
  print_out("\n{}", table_text(rows, style));
  const std::string cells = plan.cells.size() == 1 ? "1 cell" : fmt::format("{} cells", plan.cells.size());
  print_out("{}\n",
            wrapped(fmt::format("{}, {:.2g} FLOP: 6 for each token and weight, the head's included, and "
                                "attention over the causal half; evaluation not counted.",
                                cells, flops),
                    stdout));
  print_out("{}\n",
            wrapped(fmt::format(
                        "About {} on {} of this machine: a core has just multiplied matrices at {:.0f} "
                        "GFLOP/s ({}), and a step of training reaches {} to {} of that. The first cell of a "
                        "sweep shows the speed itself.",
                        time_of(flops / static_cast<double>(jobs)),
                        jobs == 1 ? "1 core" : fmt::format("{} cores", jobs), speed / 1e9,
                        enum_name(precision), kLeastShare, kLargestShare),
                    stdout));
}

Json check_json(const SweepSpec& spec, const sweep::Plan& plan) {
  Json sizes = Json::array(), cells = Json::array(), axes = Json::object();
  for (const SizeCost& cost : costs_of(plan)) {
    sizes.push_back({{"size", cost.size},
                     {"params", cost.params},
                     {"cells", cost.cells},
                     {"tokens", cost.tokens},
                     {"flops", cost.flops}});
  }
  for (const sweep::Cell& cell : plan.cells) {
    cells.push_back({{"config_hash", cell.hash},
                     {"arm", cell.arm},
                     {"size", *cell.experiment.arch.size},
                     {"lr", cell.experiment.optim.lr},
                     {"seed", cell.experiment.train.seed},
                     {"config", to_json(cell.experiment)}});
  }
  for (const Axis& axis : spec.axes) axes[axis.name] = to_json(axis);
  return {{"study", to_json(spec.study)}, {"axes", axes}, {"sizes", sizes}, {"cells", cells}};
}

void check(const SpecOptions& options, bool json) {
  Settings file;
  if (!options.spec_file.empty()) file = settings_from_toml(options.spec_file, {"sweep"});
  const SweepSpec spec = sweep_from(std::move(file), options.overrides());
  const sweep::Plan plan = sweep::make_plan(spec, open_data, machine_has_fast_bf16());
  if (json) {
    print_out("{}\n", json_text(check_json(spec, plan), 2));
    return;
  }
  const Style style(stdout);
  print_fields(spec, plan, style);
  print_costs(plan, style);
  print_out("Data: {}; unigram entropy of the validation text {:.3f} nats\n",
            printable(plan.cells[0].data.name), plan.cells[0].data.h1);
}

void schema(bool json) {
  if (json) {
    Json list = Json::array();
    for (const FieldDoc& f : reference::all_fields()) {
      list.push_back({{"path", f.path},
                      {"type", f.type},
                      {"default", f.default_value},
                      {"range", f.range},
                      {"doc", f.doc},
                      {"source", f.source},
                      {"hashed", f.hashed}});
    }
    print_out("{}\n", Json{{"fields", list}, {"axes", "[sweep] takes any field but study.*"}}.dump(2));
    return;
  }
  const Style style(stdout);
  for (const FieldDoc& f : reference::all_fields()) {
    print_out("{}  {}{}, default {}\n    {}{}\n", style.bold(f.path), f.type, f.range,
              f.default_value.empty() ? "\"\"" : f.default_value, f.doc,
              f.source.empty() ? "" : " [" + f.source + "]");
  }
  print_out(
      "{}  \"field.path\" = values\n    Varies a field: a list, \"log(a, b, n)\" (n values equally spaced in "
      "log), or \"series(a, b)\" "
      "(the 1-3 series: 1e-3, 3e-3, 1e-2, ...). Cells are the cross product.\n",
      style.bold("[sweep]"));
}

void metrics(bool json) {
  if (json) {
    print_out("{}\n", Json{{"metrics", telemetry::metric_listing()}}.dump(2));
  } else {
    print_out("{}", telemetry::metric_listing_markdown());
  }
}

}  // namespace

void add_config(CLI::App& app, int&) {
  struct ConfigArguments {
    SpecOptions spec;
    std::string out;
    bool json = false;
  };
  CLI::App* config = app.add_subcommand("config", "Check a study without running it; list every field");
  config->require_subcommand(1);
  config->footer(
      "Examples:\n  evenkeel config check study.toml\n  evenkeel config schema\n  evenkeel config metrics\n"
      "  evenkeel config reference --out reference");
  auto given = std::make_shared<ConfigArguments>();
  CLI::App* check_command =
      config->add_subcommand("check", "Resolve a study and count its cells and cost; runs nothing");
  check_command->footer(kCheckExamples);
  given->spec.add_to(*check_command, false);
  add_json_flag(*check_command, given->json);
  check_command->callback([given] { check(given->spec, given->json); });
  CLI::App* schema_command =
      config->add_subcommand("schema", "Every field: type, range, default, meaning, source");
  schema_command->footer("Examples:\n  evenkeel config schema | less\n  evenkeel config schema --json");
  add_json_flag(*schema_command, given->json);
  schema_command->callback([given] { schema(given->json); });
  CLI::App* metrics_command =
      config->add_subcommand("metrics", "Every quantity a run records: unit, shape, cost, meaning, source");
  metrics_command->footer("Examples:\n  evenkeel config metrics | less\n  evenkeel config metrics --json");
  add_json_flag(*metrics_command, given->json);
  metrics_command->callback([given] { metrics(given->json); });
  CLI::App* reference_command =
      config->add_subcommand("reference",
                             "Write Markdown pages: every treatment, residual scheme, optimiser, field and "
                             "metric, with formula, source "
                             "and cost");
  reference_command->footer("Examples:\n  evenkeel config reference --out docs/reference");
  reference_command->add_option("--out", given->out, "Folder of the pages")->type_name("DIR")->required();
  reference_command->callback([given] {
    for (const auto& file : reference::write_pages(given->out)) print_out("{}\n", file.string());
  });
}

}  // namespace evenkeel::cli
