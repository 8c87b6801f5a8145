// How often the intervals of boundary and shift hold the truth: simulated sweeps whose thresholds are known,
// run through the whole analysis (labels, best LR, brackets, refinement, intervals, words). Prints the table
// of docs/design/statistics.md and ends with 1 when a rate is worse than what is promised there.
//
//   coverage [SWEEPS] [SEED]
//
// A promise of 0.93 over so many sweeps is broken when the rate seen is below 0.93 by more than three
// binomial standard deviations.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numbers>
#include <vector>

#include "evenkeel/analysis/analysis.h"
#include "evenkeel/analysis/refine.h"
#include "evenkeel/base/rng.h"
#include "evenkeel/spec/sweep.h"

namespace evenkeel::analysis {
namespace {

constexpr int kRounds = 3;

enum class Shape { kNormal, kSkewed, kTwoPoint };

struct Setting {
  Shape shape;
  int seeds;
  double spread;       ///< standard deviation of a threshold over seeds, decades
  double shift;        ///< of the treated arm's thresholds, decades
  double correlation;  ///< of the two arms' thresholds over seeds (normal ones only)
};

/// Mean 0, standard deviation 1.
double draw(Shape shape, Rng& rng) {
  switch (shape) {
    case Shape::kSkewed:
      return -std::log(1 - rng.uniform()) - 1;
    case Shape::kTwoPoint:
      return rng.uniform() < 0.5 ? -1 : 1;
    case Shape::kNormal:
      break;
  }
  return std::sqrt(-2 * std::log(1 - rng.uniform())) * std::cos(2 * std::numbers::pi * rng.uniform());
}

/// A sweep of two arms whose cells know their thresholds.
class SimulatedSweep {
 public:
  SimulatedSweep(const Setting& setting, Rng& rng) {
    // Where the grid lies relative to the truth is chance.
    mean_[0] = -1.5 + 0.5 * rng.uniform();
    mean_[1] = mean_[0] + setting.shift;
    for (int seed = 0; seed < setting.seeds; ++seed) {
      const double a = draw(setting.shape, rng), b = draw(setting.shape, rng);
      const double r = setting.correlation;
      threshold_[0].push_back(mean_[0] + setting.spread * a);
      threshold_[1].push_back(mean_[1] + setting.spread * (r * a + std::sqrt(1 - r * r) * b));
    }
    for (const double lr : one_three_series(1e-4, 30)) {
      for (int arm = 0; arm < 2; ++arm) {
        for (int seed = 0; seed < setting.seeds; ++seed) run(arm, seed, lr, false);
      }
    }
  }

  double mean(int arm) const { return mean_[static_cast<std::size_t>(arm)]; }

  Analysis analysis() const {
    Options options;
    options.baseline = "off";
    return analyze(cells_, options);
  }

  void refine(const Analysis& analysis) {
    for (const NextRun& next : next_runs(analysis))
      run(next.arm == "on", static_cast<int>(next.seed), next.lr, true);
  }

 private:
  void run(int arm, int seed, double lr, bool refined) {
    const double threshold = threshold_[static_cast<std::size_t>(arm)][static_cast<std::size_t>(seed)];
    CellPoint cell;
    cell.arm = arm == 1 ? "on" : "off";
    cell.size = "d64";
    cell.lr = lr;
    cell.seed = seed;
    cell.l0 = 6;
    cell.steps = 300;
    cell.label = "finished";
    // The best LR is the smallest; above its threshold a seed ends degraded.
    cell.loss = std::log10(lr) >= threshold ? 4 : 2 + 0.01 * (std::log10(lr) + 4);
    cell.refined = refined;
    cells_.push_back(cell);
  }

  std::array<double, 2> mean_{};
  std::array<std::vector<double>, 2> threshold_;
  std::vector<CellPoint> cells_;
};

struct Rates {
  int sweeps = 0;
  double boundary = 0, shift = 0;        ///< intervals that hold the truth
  double boundary_width = 0, width = 0;  ///< mean widths, decades
  double moved = 0;                      ///< "moves up"
  double called_smaller = 0;             ///< "differs by less than 0.25", or "moves down"
};

bool holds(const std::optional<Interval>& interval, double truth) {
  return interval && interval->low <= truth + 1e-9 && interval->high >= truth - 1e-9;
}

std::array<Rates, kRounds + 1> simulate(const Setting& setting, int sweeps, Rng& rng) {
  std::array<Rates, kRounds + 1> rates;
  for (int i = 0; i < sweeps; ++i) {
    SimulatedSweep sweep(setting, rng);
    for (int round = 0; round <= kRounds; ++round) {
      const Analysis analysis = sweep.analysis();
      Rates& r = rates[static_cast<std::size_t>(round)];
      ++r.sweeps;
      for (const Curve& curve : analysis.curves) {
        const auto& interval = curve.boundary.interval;
        r.boundary += 0.5 * holds(interval, std::pow(10.0, sweep.mean(curve.arm == "on")));
        if (interval) r.boundary_width += 0.5 * std::log10(interval->high / interval->low);
      }
      const Shift& shift = analysis.comparisons.at(0).shift;
      r.shift += holds(shift.interval, setting.shift);
      if (shift.interval) r.width += shift.interval->high - shift.interval->low;
      r.moved += shift.direction == Direction::kUp;
      r.called_smaller += shift.direction == Direction::kNone || shift.direction == Direction::kDown;
      if (round < kRounds) sweep.refine(analysis);
    }
  }
  for (Rates& r : rates) {
    for (double* x : {&r.boundary, &r.shift, &r.boundary_width, &r.width, &r.moved, &r.called_smaller})
      *x /= r.sweeps;
  }
  return rates;
}

const char* shape_name(Shape shape) {
  return shape == Shape::kNormal ? "normal" : shape == Shape::kSkewed ? "skewed" : "two-point";
}

/// 1 when the rate breaks its promise by more than chance allows.
int broken(const Setting& s, int round, const char* what, double rate, double promised, bool at_least,
           int sweeps) {
  const double chance = 3 * std::sqrt(promised * (1 - promised) / sweeps);
  if (at_least ? rate >= promised - chance : rate <= promised + chance) return 0;
  fmt::print(stderr, "{}, {} seeds, spread {}, shift {}, {} rounds: {} is {:.3f}, promised {} {}\n",
             shape_name(s.shape), s.seeds, s.spread, s.shift, round, what, rate,
             at_least ? "at least" : "at most", promised);
  return 1;
}

int table(int sweeps, std::uint64_t seed) {
  std::vector<Setting> settings;
  for (const int seeds : {4, 8, 16, 32}) {
    for (const double spread : {0.02, 0.05, 0.15, 0.3})
      settings.push_back({Shape::kNormal, seeds, spread, 0.25, 0});
  }
  settings.push_back({Shape::kNormal, 8, 0.05, 0.5, 0});
  settings.push_back({Shape::kNormal, 8, 0.15, 0.25, 0.7});
  settings.push_back({Shape::kNormal, 8, 0.05, 0, 0});
  for (const Shape shape : {Shape::kSkewed, Shape::kTwoPoint}) {
    for (const int seeds : {4, 8, 16, 32}) {
      for (const double spread : {0.05, 0.3}) settings.push_back({shape, seeds, spread, 0.25, 0});
    }
  }
  fmt::print(
      "Four numbers in a cell: after the grid and after 1, 2, 3 rounds of refinement; widths in decades.\n\n"
      "| thresholds | seeds | spread | shift, correlation | boundary covers | width | shift covers | width | "
      "\"moves up\" | called smaller |\n|---|---|---|---|---|---|---|---|---|---|\n");
  int failures = 0;
  for (const Setting& s : settings) {
    Rng rng(seed, fmt::format("coverage/{}/{}/{}/{}", shape_name(s.shape), s.seeds, s.spread, s.shift));
    const auto rates = simulate(s, sweeps, rng);
    const auto row = [&](double Rates::*what, int digits) {
      std::string text;
      for (const Rates& r : rates)
        text += fmt::format("{}{:.{}f}", text.empty() ? "" : ", ", r.*what, digits);
      return text;
    };
    fmt::print("| {} | {} | {} | {}, {} | {} | {} | {} | {} | {} | {} |\n", shape_name(s.shape), s.seeds,
               s.spread, s.shift, s.correlation, row(&Rates::boundary, 3), row(&Rates::boundary_width, 2),
               row(&Rates::shift, 3), row(&Rates::width, 2), row(&Rates::moved, 2),
               row(&Rates::called_smaller, 3));
    std::fflush(stdout);
    // Four seeds of two kinds are all of one kind in an eighth of sweeps, and tell nothing of the other.
    const double promised = s.shape == Shape::kNormal ? 0.93 : s.seeds > 4 ? 0.90 : 0.87;
    for (int round = 0; round <= kRounds; ++round) {
      const Rates& r = rates[static_cast<std::size_t>(round)];
      failures += broken(s, round, "coverage of the boundary", r.boundary, promised, true, sweeps);
      failures += broken(s, round, "coverage of the shift", r.shift, promised, true, sweeps);
      if (s.shift >= 0.25)
        failures += broken(s, round, "called smaller", r.called_smaller, 0.01, false, sweeps);
    }
  }
  return failures > 0;
}

}  // namespace
}  // namespace evenkeel::analysis

int main(int argc, char** argv) {
  const int sweeps = argc > 1 ? std::atoi(argv[1]) : 200;
  const auto seed = static_cast<std::uint64_t>(argc > 2 ? std::atoll(argv[2]) : 1);
  return evenkeel::analysis::table(sweeps, seed);
}
