// What a sweep says: one curve of final loss against learning rate per arm and size, with the labels that
// need siblings (degraded, unstable), LR sensitivity, best LR, boundary LR; and every arm against the
// baseline arm.
//
//   degraded = LR above the arm's best at that size and loss > best + 0.07 (l0 - best)
//   unstable = nonfinite or relapsed at any LR; not_learned or degraded at an LR above the best
//
// The best LR, the limit and everything that compares losses come from the grid alone; cells run afterwards
// to narrow a seed's bracket (`refined`) move brackets and nothing else. A missing cell of the grid blocks
// its seed; nothing is imputed. All words: docs/guide/definitions.md; all intervals:
// docs/design/statistics.md.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "evenkeel/analysis/boundary.h"
#include "evenkeel/analysis/points.h"
#include "evenkeel/analysis/sensitivity.h"
#include "evenkeel/analysis/shift.h"
#include "evenkeel/analysis/stats.h"

namespace evenkeel::analysis {

/// A cell with the labels its siblings give it. `cell.label` may have become "degraded".
struct LabelledPoint {
  CellPoint cell;
  bool unstable = false;
};

/// All seeds at one learning rate of the grid.
struct LrSummary {
  double lr = 0;
  Estimate loss;  ///< mean over seeds; missing when a seed is not finite or has not ended
  int cells = 0, nonfinite = 0, unstable = 0, missing = 0;
  double effective_lr = kUnknown;  ///< median over seeds
};

struct Curve {
  std::string arm, size;
  std::int64_t params = -1, steps = 0;
  double l0 = kUnknown;               ///< the cap: the baseline arm's l0 at this size, averaged over seeds
  int missing = 0;                    ///< cells of the grid that have not ended
  int seeds = 0;                      ///< seeds with a whole grid: what follows rests on them
  int refined = 0;                    ///< cells that have ended and were run to narrow brackets
  std::vector<LabelledPoint> points;  ///< by LR, then seed
  std::vector<LrSummary> lrs;         ///< of the grid
  Sensitivity paper, run_length;      ///< over the two windows of the definitions
  Sensitivity
      swept;  ///< over the learning rates that were run, whatever they are: compare within a sweep only
  Estimate best_lr;  ///< LR of the smallest mean loss
  Estimate best_loss;
  Estimate seed_spread;    ///< standard deviation over seeds at the best LR
  Estimate stable_lr_max;  ///< largest swept LR below the first unstable one
  Estimate stable_lr_min;  ///< smallest swept LR from which to the best one no mean loss is "degraded"
  Boundary boundary;
  Estimate stable_decades;    ///< log10(boundary / stable_lr_min); the interval is the boundary's
  Estimate headroom_decades;  ///< log10(boundary / best_lr); likewise
  double step_ms = kUnknown;  ///< median over cells

  const LrSummary* at(double lr) const;
};

/// One arm against the baseline at one size. Differences are arm minus baseline, paired by seed.
struct Comparison {
  std::string arm, baseline, size;
  Shift shift;                     ///< of the boundary LR
  double holm_p = 1;               ///< its p, adjusted for all comparisons of the analysis (Holm 1979)
  bool stands = false;             ///< up or down, and still so after that correction
  Estimate stable_decades_change;  ///< of the width of the stable range; the interval is the shift's
  Estimate
      best_loss_change;  ///< each arm at its own best LR, nats: best of the grid, on the seeds that chose it
  struct AtLr {
    double lr = 0;
    Estimate change;
  };
  std::vector<AtLr> loss_change;  ///< at every LR of the grid that both arms ran
};

struct Analysis {
  Options options;                       ///< as used: baseline filled in
  std::vector<std::string> arms, sizes;  ///< the baseline, if any, first; sizes from small to large
  std::vector<Curve> curves;             ///< by size, then arm
  std::vector<Comparison> comparisons;   ///< most seeds first, then the larger model
  std::string no_baseline;               ///< why nothing is compared though there are several arms

  const Curve* find(const std::string& arm, const std::string& size) const;
};

/// Analyses cells in any order. Throws InputError when a cell has no learning rate, when two cells share arm,
/// size, LR and seed, or when no arm has the name of the wanted baseline. Without a baseline (and several
/// arms) nothing is compared, and the cap is the mean l0 of all arms.
Analysis analyze(const std::vector<CellPoint>& cells, const Options& options = {});

}  // namespace evenkeel::analysis
