// LR sensitivity of one arm at one size (Wortsman et al. 2023, arXiv 2309.14322, §2.1): how much loss is left
// on the table, on average, when the learning rate is not the best one.
//
//   S = mean over the window's learning rates of [ min(l, l0) - l* ],   l* = min(best l, l0)
//
// unweighted, non-finite losses counted as l0, never negative. Losses are averaged over seeds first, then
// capped. It says nothing about the level of the loss: a model at chance everywhere has S = 0. The interval
// is a jackknife over seeds, because l* is a minimum of noisy means.
#pragma once

#include <string>
#include <vector>

#include "evenkeel/analysis/points.h"
#include "evenkeel/analysis/stats.h"

namespace evenkeel::analysis {

/// The final losses of every seed at one learning rate; NaN where not finite.
struct SeedLosses {
  double lr = 0;
  std::vector<std::int64_t> seeds;
  std::vector<double> losses;
};

/// S over one window, in nats.
struct Sensitivity {
  std::optional<double> value;
  double below = 0, above = 0;  ///< the parts of the mean from learning rates below and above the best one
  std::optional<Interval> interval;
  bool undertrained = false;  ///< more than half of the value lies below the best LR: no verdict rests on it
  std::vector<double> lrs;    ///< the window's learning rates
  std::string why;            ///< set whenever value or interval is missing
};

/// The paper's window; and the same window for runs of `steps` steps, scaled by sqrt(window_steps / steps),
/// because the equilibrium size of the weights under independent decay 10 / steps grows so. Empty when
/// `steps` is unknown.
std::vector<double> paper_window(const Options& options);
std::vector<double> run_length_window(const Options& options, std::int64_t steps);

/// Sensitivity over `window`. Missing, with the reason, when l0 is unknown or a learning rate of the window
/// was not run: nothing is imputed. Every learning rate must hold the same seeds for the interval.
Sensitivity lr_sensitivity(const std::vector<SeedLosses>& curve, const std::vector<double>& window, double l0,
                           const Options& options);

/// min(mean over seeds, l0), a loss that is not finite counted as l0: the l of the formula. `losses` is not
/// empty.
double capped_mean(const std::vector<double>& losses, double l0);

/// True when two learning rates are the same up to rounding (1e-6 of their size).
bool same_lr(double a, double b);

}  // namespace evenkeel::analysis
