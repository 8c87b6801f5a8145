#include "evenkeel/analysis/analysis.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "evenkeel/analysis/compare.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/printable.h"

namespace evenkeel::analysis {
namespace {

std::string missing_why(int missing) {
  return fmt::format("{} cell{} of this arm and size {} not ended", missing, missing == 1 ? "" : "s",
                     missing == 1 ? "has" : "have");
}

/// Fills lrs: one summary per learning rate of the grid.
void summarise(Curve& curve, const Options& options) {
  for (const auto& p : curve.points) {
    if (p.cell.refined) continue;
    if (curve.lrs.empty() || !same_lr(curve.lrs.back().lr, p.cell.lr)) {
      curve.lrs.push_back({});
      curve.lrs.back().lr = p.cell.lr;
    }
    LrSummary& row = curve.lrs.back();
    ++row.cells;
    if (p.cell.label == "missing") ++row.missing;
    else if (!std::isfinite(p.cell.loss)) ++row.nonfinite;
  }
  for (auto& row : curve.lrs) {
    std::vector<double> losses, effective;
    for (const auto& p : curve.points) {
      if (p.cell.refined || !same_lr(p.cell.lr, row.lr)) continue;
      losses.push_back(p.cell.loss);
      effective.push_back(p.cell.effective_lr);
    }
    row.effective_lr = median_of_finite(effective);
    if (row.missing > 0) {
      row.loss = Estimate::missing(missing_why(row.missing));
    } else if (row.nonfinite > 0) {
      row.loss = Estimate::missing(fmt::format("{} of {} seeds are not finite", row.nonfinite, row.cells));
    } else {
      row.loss = mean_with_interval(losses, options.level);
    }
  }
}

/// The seeds of which every cell of the grid has ended.
std::set<std::int64_t> whole_seeds(const Curve& curve) {
  std::set<std::int64_t> seeds;
  for (const auto& p : curve.points) seeds.insert(p.cell.seed);
  for (const auto& p : curve.points) {
    if (!p.cell.refined && p.cell.label == "missing") seeds.erase(p.cell.seed);
  }
  return seeds;
}

/// Cells of the grid at `lr`, of the given seeds.
std::vector<const LabelledPoint*> grid_at(const Curve& curve, double lr,
                                          const std::set<std::int64_t>& seeds) {
  std::vector<const LabelledPoint*> found;
  for (const auto& p : curve.points) {
    if (!p.cell.refined && same_lr(p.cell.lr, lr) && seeds.count(p.cell.seed)) found.push_back(&p);
  }
  return found;
}

/// l of an LR (analysis/sensitivity.h). Missing without cells, or when l0 is needed but unknown.
std::optional<double> mean_loss(const Curve& curve, double lr, const std::set<std::int64_t>& seeds) {
  std::vector<double> losses;
  for (const auto* p : grid_at(curve, lr, seeds)) losses.push_back(p->cell.loss);
  if (losses.empty()) return std::nullopt;
  if (std::isfinite(curve.l0)) return capped_mean(losses, curve.l0);
  const double m = mean(losses);
  return std::isfinite(m) ? std::optional(m) : std::nullopt;
}

void find_best(Curve& curve, const std::set<std::int64_t>& seeds) {
  const auto none = [&](const std::string& why) {
    curve.best_lr = curve.best_loss = curve.seed_spread = Estimate::missing(why);
  };
  if (seeds.empty()) return none(missing_why(curve.missing));
  const LrSummary* best = nullptr;
  double best_mean = 0;
  for (const auto& row : curve.lrs) {
    const auto cells = grid_at(curve, row.lr, seeds);
    const bool any =
        std::any_of(cells.begin(), cells.end(), [](const auto* p) { return std::isfinite(p->cell.loss); });
    const auto m = mean_loss(curve, row.lr, seeds);
    if (any && m && (!best || *m < best_mean)) {
      best = &row;
      best_mean = *m;
    }
  }
  if (!best) return none("no LR has a finite loss");
  curve.best_lr = {best->lr, std::nullopt, "the best of the swept LRs has no interval", curve.seeds};
  curve.best_loss = best->loss;
  if (!curve.best_loss.value) {
    curve.best_loss.value = best_mean;
    if (best->nonfinite > 0) curve.best_loss.why += "; counted as l0";
  }
  std::vector<double> losses;
  for (const auto* p : grid_at(curve, best->lr, seeds)) {
    if (std::isfinite(p->cell.loss)) losses.push_back(p->cell.loss);
  }
  curve.seed_spread = losses.size() > 1
                          ? Estimate{standard_deviation(losses), {}, "", static_cast<int>(losses.size())}
                          : Estimate::missing("one seed has no spread");
}

/// Loss above which a finished cell at an LR above the best is degraded.
double degraded_limit(const Curve& curve, const Options& options) {
  return *curve.best_loss.value + options.degraded_share * (curve.l0 - *curve.best_loss.value);
}

void label_siblings(Curve& curve, const Options& options) {
  const bool known = curve.best_lr.value.has_value();
  for (auto& p : curve.points) {
    if (p.cell.label == "missing") continue;
    const bool above = known && p.cell.lr > *curve.best_lr.value && !same_lr(p.cell.lr, *curve.best_lr.value);
    if (above && p.cell.label == "finished" && p.cell.loss > degraded_limit(curve, options))
      p.cell.label = "degraded";
    p.unstable = p.cell.label == "nonfinite" || p.cell.relapsed || (above && p.cell.label != "finished");
  }
  for (auto& row : curve.lrs) {
    row.unstable =
        static_cast<int>(std::count_if(curve.points.begin(), curve.points.end(), [&](const auto& p) {
          return p.unstable && !p.cell.refined && same_lr(p.cell.lr, row.lr);
        }));
  }
}

/// Why the arm has no boundary at this size; "" when it may have one.
std::string boundary_blocked(const Curve& curve, const std::set<std::int64_t>& seeds) {
  if (seeds.empty()) return missing_why(curve.missing);
  if (!std::isfinite(curve.l0))
    return "the loss at initialisation is unknown, so degraded cells cannot be told";
  if (!curve.best_lr.value) return "no cell has learned: " + curve.best_lr.why;
  if (curve.lrs.size() < 2) return "only one LR was swept";
  if (*curve.best_loss.value >= curve.l0) return "the best loss is not below the loss at initialisation";
  const auto at_best = grid_at(curve, *curve.best_lr.value, seeds);
  const auto learned = std::count_if(at_best.begin(), at_best.end(),
                                     [](const auto* p) { return p->cell.label == "finished"; });
  if (2 * learned < std::ssize(at_best)) {
    return fmt::format("the arm learned nowhere: at its best LR, {:g}, {} of {} seeds have learned",
                       *curve.best_lr.value, learned, at_best.size());
  }
  return "";
}

void find_boundary(Curve& curve, const std::set<std::int64_t>& seeds, const Options& options) {
  const std::string why = boundary_blocked(curve, seeds);
  if (!why.empty()) {
    curve.boundary.why = why;
    curve.stable_lr_max = Estimate::missing(why);
    return;
  }
  std::map<std::int64_t, std::vector<Outcome>> outcomes;
  for (const auto& p : curve.points) {
    if (seeds.count(p.cell.seed) && p.cell.label != "missing")
      outcomes[p.cell.seed].push_back({p.cell.lr, p.unstable});
  }
  std::vector<Bracket> brackets;
  for (auto& [seed, of_seed] : outcomes) brackets.push_back(bracket_of(seed, std::move(of_seed)));
  std::set<std::int64_t> all;
  for (const auto& p : curve.points) all.insert(p.cell.seed);
  curve.boundary = boundary_of(std::move(brackets), options.level);
  curve.boundary.blocked = static_cast<int>(all.size() - seeds.size());

  std::optional<double> largest;
  for (const auto& row : curve.lrs) {
    if (row.unstable > 0) break;
    largest = row.lr;
  }
  curve.stable_lr_max = largest ? Estimate{largest, {}, "one of the swept LRs has no interval", curve.seeds}
                                : Estimate::missing("the smallest swept LR is unstable");
}

/// log10 of the boundary over a learning rate of the grid, the interval being the boundary's.
Estimate decades_above(const Boundary& boundary, double lr, int seeds) {
  if (boundary.kind != Boundary::Kind::kBracketed)
    return Estimate::missing("the boundary lies outside the swept LRs");
  Estimate e{std::log10(boundary.middle() / lr), {}, boundary.why, seeds};
  if (boundary.interval)
    e.interval = Interval{std::log10(boundary.interval->low / lr), std::log10(boundary.interval->high / lr)};
  return e;
}

void find_stable_range(Curve& curve, const std::set<std::int64_t>& seeds, const Options& options) {
  if (curve.boundary.kind == Boundary::Kind::kNone) {
    curve.stable_lr_min = curve.stable_decades = curve.headroom_decades =
        Estimate::missing(curve.boundary.why);
    return;
  }
  const double limit = degraded_limit(curve, options);
  for (auto row = curve.lrs.rbegin(); row != curve.lrs.rend(); ++row) {
    if (row->lr > *curve.best_lr.value && !same_lr(row->lr, *curve.best_lr.value)) continue;
    if (mean_loss(curve, row->lr, seeds).value_or(curve.l0) > limit) break;
    curve.stable_lr_min = {row->lr, {}, "one of the swept LRs has no interval", curve.seeds};
  }
  curve.stable_decades = decades_above(curve.boundary, *curve.stable_lr_min.value, curve.seeds);
  curve.headroom_decades = decades_above(curve.boundary, *curve.best_lr.value, curve.seeds);
}

void find_sensitivity(Curve& curve, const std::set<std::int64_t>& seeds, const Options& options) {
  const auto run_window = run_length_window(options, curve.steps);
  if (seeds.empty()) {
    curve.paper.why = curve.run_length.why = curve.swept.why = missing_why(curve.missing);
    curve.paper.lrs = paper_window(options);
    curve.run_length.lrs = run_window;
    return;
  }
  std::vector<SeedLosses> rows;
  std::vector<double> swept;
  for (const auto& row : curve.lrs) {
    SeedLosses r{row.lr, {}, {}};
    for (const auto* p : grid_at(curve, row.lr, seeds)) {
      r.seeds.push_back(p->cell.seed);
      r.losses.push_back(p->cell.loss);
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
    curve.missing += !c.refined && c.label == "missing";
    curve.refined += c.refined && c.label != "missing";
    curve.points.push_back({c, false});
  }
  curve.step_ms = median_of_finite(step_ms);
  const std::set<std::int64_t> seeds = whole_seeds(curve);
  curve.seeds = static_cast<int>(seeds.size());
  summarise(curve, options);
  find_best(curve, seeds);
  label_siblings(curve, options);
  find_boundary(curve, seeds, options);
  find_stable_range(curve, seeds, options);
  find_sensitivity(curve, seeds, options);
  return curve;
}

/// One cap per size: the baseline arm's loss at initialisation, averaged over its seeds; without a baseline,
/// or at a size that it does not have, that of all arms. Runs that differ in LR alone start alike; should
/// they not, each seed still counts once.
double baseline_l0(const std::vector<CellPoint>& cells, const std::string& baseline,
                   const std::string& size) {
  std::map<std::int64_t, std::vector<double>> by_seed;
  const bool all = std::none_of(cells.begin(), cells.end(),
                                [&](const auto& c) { return c.arm == baseline && c.size == size; });
  for (const auto& c : cells) {
    if ((all || c.arm == baseline) && c.size == size && std::isfinite(c.l0)) by_seed[c.seed].push_back(c.l0);
  }
  std::vector<double> seeds;
  for (const auto& [seed, l0] : by_seed) seeds.push_back(mean(l0));
  return seeds.empty() ? kUnknown : mean(seeds);
}

/// The wanted arm, or the only one; "" when nothing tells which.
std::string choose_baseline(const std::vector<std::string>& arms, const std::string& wanted) {
  if (wanted.empty()) return arms.size() == 1 ? arms.front() : "";
  if (std::find(arms.begin(), arms.end(), wanted) != arms.end()) return wanted;
  throw InputError(
      fmt::format("no arm is named \"{}\"; the arms are \"{}\"", wanted, fmt::join(arms, "\", \"")));
}

/// Holm's correction over all comparisons of the analysis.
void correct_for_number(Analysis& analysis) {
  std::vector<double> p;
  for (const Comparison& c : analysis.comparisons) p.push_back(c.shift.p);
  const std::vector<double> adjusted = holm_adjusted(p);
  for (std::size_t i = 0; i < p.size(); ++i) {
    Comparison& c = analysis.comparisons[i];
    c.holm_p = adjusted[i];
    const bool moved = c.shift.direction == Direction::kUp || c.shift.direction == Direction::kDown;
    c.stands = moved && c.holm_p <= 1 - analysis.options.level;
  }
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

Analysis analyze(const std::vector<CellPoint>& unordered, const Options& options) {
  // One order of summation, so that the order of folders does not reach the last digits.
  std::vector<CellPoint> cells = unordered;
  for (const auto& c : cells) {  // first, because a learning rate that is no number has no place in an order
    if (std::isfinite(c.lr) && c.lr > 0) continue;
    throw InputError(fmt::format("a cell of arm \"{}\", size {}, has no learning rate above 0: give its lr",
                                 shortened(c.arm), shortened(c.size)));
  }
  std::sort(cells.begin(), cells.end(), [](const auto& a, const auto& b) {
    return std::tie(a.size, a.arm, a.lr, a.seed) < std::tie(b.size, b.arm, b.lr, b.seed);
  });
  Analysis analysis;
  analysis.options = options;
  std::map<std::pair<std::string, std::string>, std::vector<CellPoint>> groups;
  for (const auto& c : cells) {
    groups[{c.size, c.arm}].push_back(c);
    if (std::find(analysis.arms.begin(), analysis.arms.end(), c.arm) == analysis.arms.end())
      analysis.arms.push_back(c.arm);
  }
  std::sort(analysis.arms.begin(), analysis.arms.end());
  const std::string baseline = analysis.options.baseline = choose_baseline(analysis.arms, options.baseline);
  if (baseline.empty() && analysis.arms.size() > 1) {
    analysis.no_baseline = fmt::format(
        "nothing says which arm the others are compared with: name it with --baseline, one of \"{}\"",
        fmt::join(analysis.arms, "\", \""));
  }
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
                       return std::pair(c.shift.seeds, analysis.find(c.baseline, c.size)->params);
                     };
                     return rank(a) > rank(b);
                   });
  correct_for_number(analysis);
  return analysis;
}

}  // namespace evenkeel::analysis
