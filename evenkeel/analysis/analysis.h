// What a sweep says: one curve of final loss against learning rate per arm and size, with the labels that
// need siblings (degraded, unstable), LR sensitivity, best LR, boundary LR; and every arm against the
// baseline arm.
//
//   degraded = LR above the arm's best at that size and loss > best + 0.07 (l0 - best)
//   unstable = LR above the best and nonfinite, not_learned or degraded
//
// Cells that are missing block the numbers that would need them; nothing is imputed. All words:
// docs/guide/definitions.md.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "evenkeel/analysis/boundary.h"
#include "evenkeel/analysis/points.h"
#include "evenkeel/analysis/sensitivity.h"
#include "evenkeel/analysis/stats.h"

namespace evenkeel::analysis {

/// A cell with the labels its siblings give it. `cell.label` may have become "degraded".
struct LabelledPoint {
  CellPoint cell;
  bool unstable = false;
};

/// All seeds at one learning rate.
struct LrSummary {
  double lr = 0;
  Estimate loss;  ///< mean over seeds; missing when a seed is not finite or has not ended
  int cells = 0, nonfinite = 0, unstable = 0, missing = 0;
};

struct Curve {
  std::string arm, size;
  std::int64_t params = -1, steps = 0;
  double l0 = kUnknown;               ///< the cap: the baseline arm's l0 at this size, averaged over seeds
  int missing = 0;                    ///< cells that have not ended
  std::vector<LabelledPoint> points;  ///< by LR, then seed
  std::vector<LrSummary> lrs;
  Sensitivity paper, run_length;  ///< over the two windows of the definitions
  Sensitivity
      swept;  ///< over the learning rates that were run, whatever they are: compare within a sweep only
  Estimate best_lr;  ///< LR of the smallest mean loss
  Estimate best_loss;
  Estimate seed_spread;    ///< standard deviation over seeds at the best LR
  Estimate stable_lr_max;  ///< largest swept LR below the first unstable one
  Estimate stable_lr_min;  ///< smallest swept LR from which to the best one no mean loss is "degraded"
  Boundary boundary;
  Estimate stable_decades;    ///< log10(boundary / stable_lr_min); the interval is the boundary's
  double step_ms = kUnknown;  ///< median over cells

  const LrSummary* at(double lr) const;
};

/// One arm against the baseline at one size. Differences are arm minus baseline, paired by seed.
struct Comparison {
  std::string arm, baseline, size;
  Estimate boundary_decades;       ///< log10 of the ratio of boundary LRs
  Estimate stable_decades_change;  ///< of the width of the stable range; the interval is the boundaries'
  bool at_least =
      false;  ///< one boundary lies outside the swept range: the value is a lower bound of the size
  int agree = 0,
      seeds = 0;  ///< seeds, each judged alone, whose instability begins at a larger LR; of how many
  Estimate best_loss_change;  ///< each arm at its own best LR, nats
  struct AtLr {
    double lr = 0;
    Estimate change;
  };
  std::vector<AtLr> loss_change;  ///< at every LR both arms ran
  Estimate step_time_ratio;       ///< ratio of median step times; from wall clocks, so not reproducible
};

struct Analysis {
  Options options;                       ///< as used: baseline filled in
  std::vector<std::string> arms, sizes;  ///< baseline first; sizes from small to large
  std::vector<Curve> curves;             ///< by size, then arm
  std::vector<Comparison> comparisons;   ///< most seeds first, then the larger model

  const Curve* find(const std::string& arm, const std::string& size) const;
};

/// The baseline among arm names: `wanted` when given (InputError when there is no such arm), else the one
/// with most interventions off (values off, none, false or 0), the first of equals.
std::string choose_baseline(const std::vector<std::string>& arms, const std::string& wanted);

/// Analyses cells in any order. Throws InputError when a cell has no learning rate, or two cells share arm,
/// size, LR and seed.
Analysis analyze(const std::vector<CellPoint>& cells, const Options& options = {});

}  // namespace evenkeel::analysis
