#include "evenkeel/analysis/analysis.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "evenkeel/analysis/compare.h"
#include "evenkeel/base/error.h"

namespace evenkeel::analysis {
namespace {

int interventions_off(const std::string& arm) {
  if (arm.empty() || arm == "baseline" || arm == "off") return 1000;
  int off = 0;
  for (std::size_t start = 0; start < arm.size();) {
    const std::size_t end = std::min(arm.find(',', start), arm.size());
    const std::string piece = arm.substr(start, end - start);
    const std::string value = piece.substr(piece.find('=') == std::string::npos ? 0 : piece.find('=') + 1);
    if (value == "off" || value == "none" || value == "false" || value == "0") ++off;
    start = end + 1;
  }
  return off;
}

std::string missing_why(int missing) {
  return fmt::format("{} cell{} of this arm and size {} not ended", missing, missing == 1 ? "" : "s",
                     missing == 1 ? "has" : "have");
}

/// Fills lrs: one summary per learning rate.
void summarise(Curve& curve, const Options& options) {
  std::map<double, std::vector<double>> losses;
  for (const auto& p : curve.points) {
    auto same = std::find_if(curve.lrs.begin(), curve.lrs.end(),
                             [&](const auto& s) { return same_lr(s.lr, p.cell.lr); });
    if (same == curve.lrs.end()) {
      curve.lrs.push_back({});
      same = curve.lrs.end() - 1;
      same->lr = p.cell.lr;
    }
    ++same->cells;
    if (p.cell.label == "missing") {
      ++same->missing;
    } else if (!std::isfinite(p.cell.loss)) {
      ++same->nonfinite;
    } else {
      losses[same->lr].push_back(p.cell.loss);
    }
  }
  for (auto& s : curve.lrs) {
    if (s.missing > 0) {
      s.loss = Estimate::missing(missing_why(s.missing));
    } else if (s.nonfinite > 0) {
      s.loss = Estimate::missing(fmt::format("{} of {} seeds are not finite", s.nonfinite, s.cells));
    } else {
      s.loss = mean_with_interval(losses[s.lr], options.level, options.bootstrap_from_seeds);
    }
  }
}

/// Mean loss of an LR for choosing the best one: seeds that are not finite count as l0. Missing when l0 is
/// needed but unknown.
std::optional<double> capped_mean(const Curve& curve, const LrSummary& row) {
  double sum = 0;
  for (const auto& p : curve.points) {
    if (!same_lr(p.cell.lr, row.lr)) continue;
    if (std::isfinite(p.cell.loss)) {
      sum += p.cell.loss;
    } else if (std::isfinite(curve.l0)) {
      sum += curve.l0;
    } else {
      return std::nullopt;
    }
  }
  return sum / row.cells;
}

void find_best(Curve& curve) {
  if (curve.missing > 0) {
    curve.best_lr = curve.best_loss = curve.seed_spread = Estimate::missing(missing_why(curve.missing));
    return;
  }
  const LrSummary* best = nullptr;
  double best_mean = 0;
  for (const auto& row : curve.lrs) {
    if (row.nonfinite == row.cells) continue;
    const auto m = capped_mean(curve, row);
    if (m && (!best || *m < best_mean)) {
      best = &row;
      best_mean = *m;
    }
  }
  if (!best) {
    curve.best_lr = curve.best_loss = curve.seed_spread = Estimate::missing("no LR has a finite loss");
    return;
  }
  curve.best_lr = {best->lr, std::nullopt, "the best of the swept LRs has no interval", best->cells};
  curve.best_loss = best->loss;
  if (!curve.best_loss.value) {
    curve.best_loss.value = best_mean;
    curve.best_loss.why += "; counted as l0";
  }
  std::vector<double> losses;
  for (const auto& p : curve.points) {
    if (same_lr(p.cell.lr, best->lr) && std::isfinite(p.cell.loss)) losses.push_back(p.cell.loss);
  }
  curve.seed_spread = losses.size() > 1
                          ? Estimate{standard_deviation(losses), {}, "", static_cast<int>(losses.size())}
                          : Estimate::missing("one seed has no spread");
}

void label_siblings(Curve& curve, const Options& options) {
  const bool known = curve.best_lr.value.has_value();
  const double best = known ? *curve.best_loss.value : 0;
  const double limit = best + options.degraded_share * (curve.l0 - best);
  for (auto& p : curve.points) {
    if (p.cell.label == "missing") continue;
    // With no finite loss anywhere there is no best LR; every cell failed, and all of them count.
    const bool above = known ? p.cell.lr > *curve.best_lr.value && !same_lr(p.cell.lr, *curve.best_lr.value)
                             : curve.missing == 0;
    if (above && p.cell.label == "finished" && known && p.cell.loss > limit) p.cell.label = "degraded";
    p.unstable = above && p.cell.label != "finished";
  }
  for (auto& row : curve.lrs) {
    row.unstable =
        static_cast<int>(std::count_if(curve.points.begin(), curve.points.end(), [&](const auto& p) {
          return p.unstable && same_lr(p.cell.lr, row.lr);
        }));
  }
}

void find_boundary(Curve& curve, const Options& options) {
  std::string why;
  if (curve.missing > 0) why = missing_why(curve.missing);
  if (why.empty() && !std::isfinite(curve.l0))
    why = "the loss at initialisation is unknown, so degraded cells cannot be told";
  if (!why.empty()) {
    curve.boundary.why = why;
    curve.stable_lr_max = curve.stable_lr_min = curve.stable_decades = Estimate::missing(why);
    return;
  }
  std::vector<Outcome> outcomes;
  for (const auto& p : curve.points) outcomes.push_back({p.cell.lr, p.unstable});
  curve.boundary = fit_boundary(outcomes, options.level);
  std::optional<double> largest;
  for (const auto& row : curve.lrs) {
    if (row.unstable > 0) break;
    largest = row.lr;
  }
  const int n = curve.lrs.empty() ? 0 : curve.lrs.front().cells;
  curve.stable_lr_max =
      largest ? Estimate{largest, {}, "", n} : Estimate::missing("the smallest swept LR is unstable");
}

void find_stable_range(Curve& curve, const Options& options) {
  if (curve.boundary.kind == Boundary::Kind::kNone) {
    curve.stable_lr_min = curve.stable_decades = Estimate::missing(curve.boundary.why);
    return;
  }
  if (!curve.best_lr.value) {
    curve.stable_lr_min = curve.stable_decades = Estimate::missing(curve.best_lr.why);
    return;
  }
  const bool learned = std::none_of(curve.points.begin(), curve.points.end(), [&](const auto& p) {
    return same_lr(p.cell.lr, *curve.best_lr.value) && p.cell.label != "finished";
  });
  if (!learned) {
    curve.stable_lr_min = curve.stable_decades =
        Estimate::missing("not every cell at the best LR has learned");
    return;
  }
  const double best = *curve.best_loss.value;
  for (auto row = curve.lrs.rbegin(); row != curve.lrs.rend(); ++row) {
    if (row->lr > *curve.best_lr.value && !same_lr(row->lr, *curve.best_lr.value)) continue;
    if (capped_mean(curve, *row).value_or(curve.l0) > best + options.degraded_share * (curve.l0 - best))
      break;
    curve.stable_lr_min = {row->lr, {}, "one of the swept LRs has no interval", row->cells};
  }
  if (!curve.stable_lr_min.value) {
    curve.stable_lr_min = curve.stable_decades =
        Estimate::missing("the best loss is not below the loss at initialisation");
    return;
  }
  if (curve.boundary.kind != Boundary::Kind::kFitted) {
    curve.stable_decades = Estimate::missing("the boundary lies outside the swept LRs");
    return;
  }
  const auto decades = [&](double lr) { return std::log10(lr / *curve.stable_lr_min.value); };
  curve.stable_decades = {
      decades(curve.boundary.value),
      Interval{decades(curve.boundary.interval.low), decades(curve.boundary.interval.high)}, "",
      curve.stable_lr_min.n};
}

void find_sensitivity(Curve& curve, const Options& options) {
  const auto run_window = run_length_window(options, curve.steps);
  if (curve.missing > 0) {
    curve.paper.why = curve.run_length.why = curve.swept.why = missing_why(curve.missing);
    curve.paper.lrs = paper_window(options);
    curve.run_length.lrs = run_window;
    return;
  }
  std::vector<SeedLosses> rows;
  std::vector<double> swept;
  for (const auto& row : curve.lrs) {
    SeedLosses r{row.lr, {}, {}};
    for (const auto& p : curve.points) {
      if (!same_lr(p.cell.lr, row.lr)) continue;
      r.seeds.push_back(p.cell.seed);
      r.losses.push_back(p.cell.loss);
    }
    rows.push_back(std::move(r));
    swept.push_back(row.lr);
  }
  curve.paper = lr_sensitivity(rows, paper_window(options), curve.l0, options);
  if (run_window.empty()) {
    curve.run_length.why = "the number of steps is unknown, or differs between cells";
  } else {
    curve.run_length = lr_sensitivity(rows, run_window, curve.l0, options);
  }
  curve.swept = lr_sensitivity(rows, swept, curve.l0, options);
}

/// `cells` of one arm and size, by LR and seed.
Curve make_curve(const std::vector<CellPoint>& cells, double l0, const Options& options) {
  Curve curve;
  curve.arm = cells.front().arm;
  curve.size = cells.front().size;
  curve.params = cells.front().params;
  curve.steps = cells.front().steps;
  curve.l0 = l0;
  std::vector<double> step_ms;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const auto& c = cells[i];
    if (i > 0 && same_lr(c.lr, cells[i - 1].lr) && c.seed == cells[i - 1].seed) {
      throw InputError(
          fmt::format("two cells share arm \"{}\", size {}, LR {:g} and seed {}: they differ in something "
                      "else, so analyse them apart or keep one",
                      c.arm, c.size, c.lr, c.seed));
    }
    if (c.steps != curve.steps) curve.steps = 0;
    step_ms.push_back(c.step_ms);
    curve.missing += c.label == "missing";
    curve.points.push_back({c, false});
  }
  curve.step_ms = median_of_finite(step_ms);
  summarise(curve, options);
  find_best(curve);
  label_siblings(curve, options);
  find_boundary(curve, options);
  find_stable_range(curve, options);
  find_sensitivity(curve, options);
  return curve;
}

/// One cap per size: the baseline arm's loss at initialisation, averaged over its seeds. Runs that differ in
/// LR alone start alike; should they not, each seed still counts once.
double baseline_l0(const std::vector<CellPoint>& cells, const std::string& baseline,
                   const std::string& size) {
  std::map<std::int64_t, std::vector<double>> by_seed;
  for (const auto& c : cells) {
    if (c.arm == baseline && c.size == size && std::isfinite(c.l0)) by_seed[c.seed].push_back(c.l0);
  }
  std::vector<double> seeds;
  for (const auto& [seed, l0] : by_seed) seeds.push_back(mean(l0));
  return seeds.empty() ? kUnknown : mean(seeds);
}

/// Sizes from small to large: by parameters where known, else in order of name.
std::vector<std::string> ordered_sizes(const std::vector<CellPoint>& cells) {
  std::set<std::pair<std::int64_t, std::string>> sizes;
  std::set<std::string> seen;
  for (const auto& c : cells) {
    if (seen.insert(c.size).second) sizes.emplace(c.params, c.size);
  }
  std::vector<std::string> names;
  for (const auto& [params, name] : sizes) names.push_back(name);
  return names;
}

}  // namespace

const LrSummary* Curve::at(double lr) const {
  const auto it = std::find_if(lrs.begin(), lrs.end(), [&](const auto& row) { return same_lr(row.lr, lr); });
  return it == lrs.end() ? nullptr : &*it;
}

const Curve* Analysis::find(const std::string& arm, const std::string& size) const {
  const auto it = std::find_if(curves.begin(), curves.end(),
                               [&](const auto& c) { return c.arm == arm && c.size == size; });
  return it == curves.end() ? nullptr : &*it;
}

std::string choose_baseline(const std::vector<std::string>& arms, const std::string& wanted) {
  if (!wanted.empty()) {
    if (std::find(arms.begin(), arms.end(), wanted) != arms.end()) return wanted;
    throw InputError(
        fmt::format("no arm is named \"{}\"; the arms are \"{}\"", wanted, fmt::join(arms, "\", \"")));
  }
  return arms.empty() ? "" : *std::max_element(arms.begin(), arms.end(), [](const auto& a, const auto& b) {
    return interventions_off(a) < interventions_off(b);
  });
}

Analysis analyze(const std::vector<CellPoint>& unordered, const Options& options) {
  // One order of summation, so that the order of folders does not reach the last digits.
  std::vector<CellPoint> cells = unordered;
  std::sort(cells.begin(), cells.end(), [](const auto& a, const auto& b) {
    return std::tie(a.size, a.arm, a.lr, a.seed) < std::tie(b.size, b.arm, b.lr, b.seed);
  });
  Analysis analysis;
  analysis.options = options;
  std::map<std::pair<std::string, std::string>, std::vector<CellPoint>> groups;
  for (const auto& c : cells) {
    if (!std::isfinite(c.lr) || c.lr <= 0) {
      throw InputError(fmt::format("a cell of arm \"{}\", size {}, has no learning rate above 0: give its lr",
                                   c.arm, c.size));
    }
    groups[{c.size, c.arm}].push_back(c);
    if (std::find(analysis.arms.begin(), analysis.arms.end(), c.arm) == analysis.arms.end())
      analysis.arms.push_back(c.arm);
  }
  std::sort(analysis.arms.begin(), analysis.arms.end());
  const std::string baseline = analysis.options.baseline = choose_baseline(analysis.arms, options.baseline);
  std::stable_partition(analysis.arms.begin(), analysis.arms.end(),
                        [&](const auto& arm) { return arm == baseline; });
  analysis.sizes = ordered_sizes(cells);

  for (const auto& size : analysis.sizes) {
    const double l0 = baseline_l0(cells, baseline, size);
    for (const auto& arm : analysis.arms) {
      const auto group = groups.find({size, arm});
      if (group != groups.end()) analysis.curves.push_back(make_curve(group->second, l0, options));
    }
    const Curve* base = analysis.find(baseline, size);
    for (const auto& arm : analysis.arms) {
      const Curve* curve = analysis.find(arm, size);
      if (base && curve && arm != baseline) analysis.comparisons.push_back(compare(*curve, *base, options));
    }
  }
  // What rests on most seeds speaks first, then the larger model.
  std::stable_sort(analysis.comparisons.begin(), analysis.comparisons.end(),
                   [&](const Comparison& a, const Comparison& b) {
                     const auto rank = [&](const Comparison& c) {
                       return std::pair(c.seeds, analysis.find(c.baseline, c.size)->params);
                     };
                     return rank(a) > rank(b);
                   });
  return analysis;
}

}  // namespace evenkeel::analysis
