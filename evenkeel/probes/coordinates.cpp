#include "evenkeel/probes/coordinates.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "evenkeel/analysis/stats.h"
#include "evenkeel/base/error.h"
#include "evenkeel/data/source.h"
#include "evenkeel/ops/reduce.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/probes/residual_stream.h"
#include "evenkeel/spec/arm.h"
#include "evenkeel/telemetry/recorder.h"
#include "evenkeel/train/admin_profile.h"
#include "evenkeel/train/build_model.h"
#include "evenkeel/train/evaluate.h"
#include "evenkeel/train/step.h"

namespace evenkeel::probes {
namespace {

constexpr double kLevel = 0.95, kFarther = 8;  // of intervals; "at 8 times the width"

/// What a pass leaves of everything that flows forward, by quantity.
class Snapshot : public nn::ResidualSink, public nn::StatSink {
 public:
  void residual(const nn::Residual& at, const at::Tensor& x, const at::Tensor& f) override {
    values["branch/" + at.site()] = f.to(at::kFloat).clone();
    values["stream/" + at.site()] = sublayer_sum(at, x, f).to(at::kFloat).clone();
  }
  void heads(std::string_view key, std::vector<double> found) override {
    if (!key.ends_with("/logit_rms")) return;
    double squares = 0;
    for (const double rms : found) squares += rms * rms / static_cast<double>(found.size());
    attention[std::string(key.substr(0, key.rfind('/')))] = std::sqrt(squares);
  }
  void scalar(std::string_view, double) override {}

  std::map<std::string, at::Tensor> values;
  std::map<std::string, double> attention;  ///< "attn/layer00": RMS of its logits
};

Snapshot look(const models::Model& model, const models::Batch& batch, const Experiment& e) {
  const c10::AutoGradMode no_grad(false);
  Snapshot seen;
  nn::Context context = train::pass_context(e.train);
  context.residuals = &seen;
  context.stats = &seen;
  seen.values["logits/out"] = model.forward(batch, context).to(at::kFloat).clone();
  return seen;
}

// "tensor/head.weight/grad_rms" -> "gradient/head.weight".
std::string name_of(const std::string& key) {
  const std::string tensor = key.substr(7, key.rfind('/') - 7);
  if (key.ends_with("/grad_rms")) return "gradient/" + tensor;
  return key.ends_with("/update_rms") ? "update/" + tensor : "";
}

/// Slopes of one quantity, one per seed, at each step.
using Slopes = std::vector<std::vector<double>>;

enum class Course { kGrows, kSteady, kShrinks, kOpen };
Course course_of(const analysis::Estimate& slope) {
  if (!slope.interval) return Course::kOpen;
  if (slope.interval->low > kSlopeMargin) return Course::kGrows;
  if (slope.interval->high < -kSlopeMargin) return Course::kShrinks;
  const bool within = slope.interval->low > -kSlopeMargin && slope.interval->high < kSlopeMargin;
  return within ? Course::kSteady : Course::kOpen;
}

/// By the last step; growth that is over by then is transient.
std::string verdict_of(const std::vector<analysis::Estimate>& slopes) {
  const bool ever = std::any_of(slopes.begin(), slopes.end(),
                                [](const auto& slope) { return course_of(slope) == Course::kGrows; });
  switch (course_of(slopes.back())) {
    case Course::kGrows:
      return "grows";
    case Course::kShrinks:
      return ever ? "grew at first" : "shrinks";
    case Course::kSteady:
      return ever ? "grew at first" : "steady";
    case Course::kOpen:
      break;
  }
  return "open";
}

bool flows_forward(const std::string& quantity) {
  return quantity.starts_with("stream/") || quantity.starts_with("branch/") || quantity == "logits/out";
}

Json json_of(const std::string& quantity, const Slopes& by_step, double largest) {
  Json steps = Json::array();
  std::vector<analysis::Estimate> slopes;
  for (std::size_t t = 0; t < by_step.size(); ++t) {
    slopes.push_back(analysis::mean_with_interval(by_step[t], kLevel));
    const analysis::Estimate& slope = slopes.back();
    Json entry{{"step", t + 1}, {"slope", nullptr}, {"interval", nullptr}};
    if (slope.value) entry["slope"] = *slope.value;
    if (slope.interval) entry["interval"] = {slope.interval->low, slope.interval->high};
    else entry["why"] = slope.why;
    steps.push_back(std::move(entry));
  }
  Json answer{{"quantity", quantity}, {"steps", steps}, {"largest", largest}, {"verdict", nullptr}};
  if (flows_forward(quantity)) answer["verdict"] = verdict_of(slopes);
  return answer;
}

Json measure_coordinates(const Subject& subject, const Options& options) {
  const Experiment& base = subject.experiment;
  if (options.steps > base.train.steps) {
    throw InputError(
        fmt::format("--steps must be at most [train.steps] = {}, got {}", base.train.steps, options.steps));
  }
  const auto seeds = static_cast<std::size_t>(options.seeds);
  std::vector<double> log_width;
  for (const std::int64_t width : options.widths) log_width.push_back(std::log(static_cast<double>(width)));
  // [seed][width]
  std::vector<std::vector<Sizes>> sizes(seeds);
  for (std::size_t s = 0; s < seeds; ++s) {
    for (const std::int64_t width : options.widths) {
      Experiment e = at_width(base, width);
      e.train.seed = base.train.seed + static_cast<std::int64_t>(s);
      sizes[s].push_back(sizes_of(e, options.steps));
    }
  }
  Json quantities = Json::array();
  for (const auto& [name, first] : sizes[0][0]) {
    Slopes by_step(first.size());
    bool known = true;
    for (std::size_t t = 0; t < first.size(); ++t) {
      for (const std::vector<Sizes>& seed : sizes) {
        std::vector<double> log_size;
        for (const Sizes& one : seed) {
          const auto found = one.find(name);
          const bool whole = found != one.end() && found->second.size() == first.size();
          const double size = whole ? found->second[t] : 0;
          known = known && size > 0;
          log_size.push_back(std::log(size));
        }
        if (known) by_step[t].push_back(analysis::line_through(log_width, log_size).slope);
      }
    }
    if (known) quantities.push_back(json_of(name, by_step, sizes[0].back().at(name).back()));
    else
      quantities.push_back({{"quantity", name},
                            {"steps", Json::array()},
                            {"largest", nullptr},
                            {"verdict", nullptr},
                            {"why", "it is zero at a step, or missing at a width"}});
  }
  return {{"widths", options.widths},
          {"seeds", options.seeds},
          {"steps", options.steps},
          {"lr", base.optim.lr},
          {"arm", arm_name(to_json(base), chosen_interventions(to_json(base)))},
          {"margin", kSlopeMargin},
          {"quantities", quantities}};
}

std::string slope_text(const Json& step) {
  if (step.at("interval").is_null()) return number_text(step.at("slope"), "{:+.2f}");
  return fmt::format("{} [{}, {}]", number_text(step.at("slope"), "{:+.2f}"),
                     number_text(step.at("interval").at(0), "{:+.2f}"),
                     number_text(step.at("interval").at(1), "{:+.2f}"));
}

std::string conclusion_of(const Json& found) {
  std::vector<std::string> growing;
  std::string steepest;
  double slope = 0;
  int judged = 0, open = 0, transient = 0;
  for (const Json& one : found.at("quantities")) {
    if (!one.at("verdict").is_string()) continue;
    ++judged;
    const std::string verdict = one.at("verdict");
    open += verdict == "open";
    transient += verdict == "grew at first";
    if (verdict != "grows") continue;
    growing.push_back(one.at("quantity"));
    const double own = one.at("steps").back().at("slope");
    if (own > slope) {
      slope = own;
      steepest = growing.back();
    }
  }
  const std::string under = fmt::format("{}, {}, lr {:g}", found.at("optimiser").get<std::string>(),
                                        found.at("arm").get<std::string>(), found.at("lr").get<double>());
  if (found.at("seeds") == 1)
    return under + ": one seed has no interval, so nothing is concluded; give --seeds 3 or more.";
  if (growing.empty()) {
    return fmt::format(
        "{}: of {} sizes of what flows forward none grows with width{}{}.", under, judged,
        open > 0 ? fmt::format("; {} are open (more seeds, or widths farther apart)", open) : "",
        transient > 0 ? fmt::format("; {} grew at first", transient) : "");
  }
  return fmt::format(
      "{}: {} of {} sizes of what flows forward grow with width, {} most (slope {:.2f}): at {:g} times the "
      "width its "
      "change is {:.1f} times as large, so this learning rate does not transfer.",
      under, growing.size(), judged, steepest, slope, kFarther, std::pow(kFarther, slope));
}

Description describe_coordinates(const std::vector<Json>& answers) {
  Description description;
  for (const Json& answer : answers) {
    Json found = answer.at("coordinates");
    found["optimiser"] = answer.at("optimiser");
    Table table;
    table.title = fmt::format("Widths {}: exponents of width, 95 % over {} seeds",
                              fmt::join(found.at("widths").get<std::vector<std::int64_t>>(), ", "),
                              found.at("seeds").get<std::int64_t>());
    const std::int64_t steps = found.at("steps");
    table.rows.push_back(
        {"quantity", "verdict", "step 1", fmt::format("step {}", steps), "size at the widest"});
    table.words = 2;
    for (const Json& one : found.at("quantities")) {
      const Json& slopes = one.at("steps");
      const Json& verdict = one.at("verdict");
      table.rows.push_back({one.at("quantity"), verdict.is_string() ? verdict.get<std::string>() : "",
                            slopes.empty() ? "-" : slope_text(slopes.front()),
                            slopes.empty() ? "-" : slope_text(slopes.back()),
                            number_text(one.at("largest"))});
    }
    description.tables.push_back(std::move(table));
    description.notes.push_back(conclusion_of(found));
  }
  return description;
}

}  // namespace

Experiment at_width(const Experiment& e, std::int64_t width) {
  const std::int64_t head = e.arch.K();
  if (width % head != 0) {
    throw InputError(fmt::format(
        "--widths must be multiples of the head width {} (arch.width / arch.heads), got {}", head, width));
  }
  Json config = to_json(e);
  Json& arch = config["arch"];
  arch["size"] = nullptr;
  arch["width"] = width;
  arch["heads"] = width / head;
  arch["ffn_width"] = e.arch.F() * width / e.arch.D();
  // The peak rate from the first step on.
  config["optim"]["warmup"] = "0step";
  return experiment_from_json(config, "--widths");
}

Sizes sizes_of(const Experiment& e, std::int64_t steps) {
  const auto source = data::open_source(e.data, e.arch.context);
  const auto loader = source->loader(
      {e.arch.context, e.train.batch, e.data.batch_tokens, static_cast<std::uint64_t>(e.train.seed)});
  const auto model = train::build_model(e);
  train::profile_if_asked(e, *model, train::to_device(loader->train_batch(0)));
  const auto optimiser = optim::make_optimiser(model->parameters(), e.optim);
  telemetry::Recorder recorder;
  train::Step step(e, *model, *optimiser, recorder, at::arange(*e.data.vocab));
  const models::Batch fixed = train::to_device(loader->valid_batch(0, e.data.valid_tokens));
  const Snapshot start = look(*model, fixed, e);
  Sizes sizes;
  for (std::int64_t t = 1; t <= steps; ++t) {
    const train::StepResult result =
        step.make(t, train::to_device(loader->train_batch(t - 1)), train::Detail::kFull);
    if (result.skipped) {
      throw InputError(fmt::format(
          "[optim.skip_step] = {} leaves step {} out, so that it has no update to look at; switch it off",
          e.optim.skip_step, t));
    }
    if (result.nonfinite) {
      throw InputError(
          fmt::format("step {} at width {} became non-finite with [optim.lr] = {}; choose a lower rate", t,
                      e.arch.D(), e.optim.lr));
    }
    const Json record = recorder.heads_record().value_or(Json::object());
    for (const auto& [key, value] : record.items()) {
      if (!key.starts_with("tensor/")) continue;
      if (const std::string name = name_of(key); !name.empty()) sizes[name].push_back(value.get<double>());
    }
    const Snapshot now = look(*model, fixed, e);
    for (const auto& [name, value] : now.values)
      sizes[name].push_back(ops::rms(value - start.values.at(name)));
    for (const auto& [name, value] : now.attention) sizes[name].push_back(value);
  }
  return sizes;
}

Probe coordinates_probe() {
  return {"coordinates", "sizes inside the model against its width, over the first steps",
          measure_coordinates, describe_coordinates, 3};
}

}  // namespace evenkeel::probes
