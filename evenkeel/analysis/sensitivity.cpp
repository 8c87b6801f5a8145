#include "evenkeel/analysis/sensitivity.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "evenkeel/spec/sweep.h"

namespace evenkeel::analysis {
namespace {

struct Split {
  double value = 0, below = 0, above = 0;
};

Split split_sensitivity(const std::vector<double>& losses, double l0) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < losses.size(); ++i) {
    if (losses[i] < losses[best]) best = i;
  }
  const double floor = std::min(losses[best], l0);
  Split s;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    (i < best ? s.below : s.above) += (losses[i] - floor) / static_cast<double>(losses.size());
  }
  s.value = s.below + s.above;
  return s;
}

}  // namespace

double capped_mean(const std::vector<double>& losses, double l0) {
  double sum = 0;
  for (const double loss : losses) sum += std::isfinite(loss) ? loss : l0;
  return std::min(sum / static_cast<double>(losses.size()), l0);
}

bool same_lr(double a, double b) {
  return std::abs(a - b) <= 1e-6 * std::max(std::abs(a), std::abs(b));
}

std::vector<double> paper_window(const Options& options) {
  return one_three_series(options.window_low, options.window_high);
}

std::vector<double> run_length_window(const Options& options, std::int64_t steps) {
  if (steps <= 0) return {};
  const double scale = std::sqrt(options.window_steps / static_cast<double>(steps));
  return one_three_series(options.window_low * scale, options.window_high * scale);
}

Sensitivity lr_sensitivity(const std::vector<SeedLosses>& curve, const std::vector<double>& window, double l0,
                           const Options& options) {
  Sensitivity s;
  s.lrs = window;
  std::vector<const SeedLosses*> rows;
  std::vector<double> not_run;
  for (const double lr : window) {
    const auto it =
        std::find_if(curve.begin(), curve.end(), [&](const auto& row) { return same_lr(row.lr, lr); });
    if (it == curve.end() || it->losses.empty()) {
      not_run.push_back(lr);
    } else {
      rows.push_back(&*it);
    }
  }
  if (!not_run.empty()) {
    s.why = fmt::format("the window needs LR {:g}, not swept", fmt::join(not_run, ", "));
    return s;
  }
  if (!std::isfinite(l0)) {
    s.why = "the loss at initialisation is unknown";
    return s;
  }
  if (rows.empty()) {
    s.why = "no learning rates";
    return s;
  }

  // Without the seed at `leave_out`; -1 leaves none out.
  const auto sensitivity_of = [&](int leave_out) {
    std::vector<double> means;
    for (const SeedLosses* row : rows) {
      std::vector<double> kept;
      for (int i = 0; i < static_cast<int>(row->losses.size()); ++i) {
        if (i != leave_out) kept.push_back(row->losses[static_cast<std::size_t>(i)]);
      }
      means.push_back(capped_mean(kept, l0));
    }
    return split_sensitivity(means, l0);
  };
  const Split whole = sensitivity_of(-1);
  s.value = whole.value;
  s.below = whole.below;
  s.above = whole.above;
  s.undertrained = whole.value > 0 && whole.below > 0.5 * whole.value;

  const int n = static_cast<int>(rows.front()->seeds.size());
  for (const SeedLosses* row : rows) {
    if (row->seeds != rows.front()->seeds) {
      s.why = "no interval: not every learning rate has the same seeds";
      return s;
    }
  }
  if (n < 2) {
    s.why = "no interval: one seed has no spread";
    return s;
  }
  std::vector<double> leave_one_out;
  for (int i = 0; i < n; ++i) leave_one_out.push_back(sensitivity_of(i).value);
  const double half = jackknife_half_width(leave_one_out, options.level);
  // S lies between 0 and l0, and so does its interval.
  s.interval = Interval{std::max(0.0, whole.value - half), std::min(l0, whole.value + half)};
  return s;
}

}  // namespace evenkeel::analysis
