// A study file: one experiment, the axes that vary, and why it is run.
//
//   [study]                                    # words for the report, and how it is judged
//   title = "qk-norm on real text"
//   refine = 2                                 # halve each seed's bracket of the boundary twice
//   [optim]
//   warmup = "40step"
//   [sweep]                                    # each key is any field's dotted path
//   "optim.lr" = "series(3e-2, 1)"             # 3e-2, 1e-1, 3e-1, 1
//   "interventions.qk_norm" = ["off", "per_head"]
//   "train.batch, train.steps" = [[8, 800], [16, 400]]    # fields that move together
//   "train.seed" = [1, 2]
//   [sweep.arms]                               # arms by name, each a bundle of settings
//   plain = {}
//   cautious = { "interventions.qk_norm" = "per_head", "optim.warmup" = "80step" }
#pragma once

#include <map>
#include <string>
#include <vector>

#include "evenkeel/spec/experiment.h"

namespace evenkeel {

struct StudySpec {
  std::string title, question, expectation, criterion, cost;
  std::string baseline;          ///< "": spec/arm.h decides
  double margin_decades = 0.25;  ///< smallest shift of the boundary LR that matters
  std::int64_t refine = 0;       ///< rounds that narrow the brackets after the grid

  static void fields(auto& self, auto&& visit) {
    visit("title", self.title, {.doc = "Heading of the report.", .hashed = false});
    visit("question", self.question, {.doc = "What the study asks.", .hashed = false});
    visit("expectation", self.expectation, {.doc = "What was expected before it ran.", .hashed = false});
    visit("criterion", self.criterion,
          {.doc = "What decides the verdict, fixed before the run.", .hashed = false});
    visit("cost", self.cost, {.doc = "Time and machine it needs.", .hashed = false});
    visit("baseline", self.baseline,
          {.doc = "Arm that the others are compared with; empty: the one whose settings are the defaults.",
           .hashed = false});
    visit("margin_decades", self.margin_decades,
          {.doc = "A boundary LR differs by less than this only when its whole interval does.",
           .min = 0,
           .above_min = true,
           .hashed = false});
    visit("refine", self.refine,
          {.doc = "After the grid, how often each seed's bracket of the boundary LR is halved by a run in "
                  "its middle.",
           .min = 0,
           .max = 10,
           .hashed = false});
  }
};

/// The name of the axis whose points are bundles of settings, "sweep.arms" in a study.
inline constexpr const char* kArmsAxis = "arms";

/// What varies: one field, several that move together, or arms by name.
struct Axis {
  struct Point {
    std::string label;  ///< name of the arm; "" where fields are swept
    std::map<std::string, Json> settings;
  };
  std::string name;  ///< "optim.lr", "train.batch, train.steps" or kArmsAxis
  std::vector<std::string> paths;
  std::vector<Point> points;
  std::string origin;
};

/// Reads what a study or sweep.json says of one axis. Throws InputError for unknown fields and values they do
/// not take, for empty axes, repeated values, bad series.
Axis axis_from(const std::string& name, const Setting& setting);
/// What axis_from() reads back.
Json to_json(const Axis& axis);

/// Names the arm of `config` (resolved, as JSON) that `label` of kArmsAxis made, "" for none: the label, then
/// what other axes set apart (spec/arm.h).
std::string arm_name(const Json& config, const std::vector<Axis>& axes, const std::string& label);
/// Whether `arm` may be the name of `config`: its label is one of the axes' and the settings of that bundle
/// hold.
bool fits(const std::string& arm, const Json& config, const std::vector<Axis>& axes);

struct SweepSpec {
  StudySpec study;
  Settings base;           ///< settings of the experiment, axes excluded
  std::vector<Axis> axes;  ///< in order of name; empty: a single cell
};

/// Splits a file's settings (read with keep_whole = {"sweep"}) and --set overrides into study, base and axes.
/// An override of an axis ("--set sweep.optim.lr=[0.1, 0.3]") replaces its values; an override of a swept
/// field
/// ("--set optim.lr=0.1") replaces the axis by that value. Throws InputError for unknown keys, empty axes,
/// repeated values, bad series.
SweepSpec sweep_from(Settings settings, const Settings& overrides);

/// The values of an axis: a list as it is; "log(a, b, n)" n values equally spaced in log; "series(a, b)" the
/// 1-3 series from a to b (1e-3, 3e-3, 1e-2, ...), both ends included.
std::vector<Json> axis_values(const std::string& path, const Setting& setting);

/// The 1-3 series (..., 0.1, 0.3, 1, 3, ...) from `low` > 0 to `high`, both ends included (to 1e-6).
std::vector<double> one_three_series(double low, double high);

}  // namespace evenkeel
