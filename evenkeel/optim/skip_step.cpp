#include "evenkeel/optim/skip_step.h"

#include <cmath>

namespace evenkeel::optim {
namespace {

// The window with `value` is large enough for a mean and a deviation of the others, and it is above them.
bool stands_out(std::deque<double>& window, double value, double deviations) {
  bool above = false;
  const auto n = static_cast<double>(window.size());
  if (window.size() + 1 >= SkipStep::kLeast) {
    double mean = 0, squares = 0;
    for (const double x : window) mean += x / n;
    for (const double x : window) squares += (x - mean) * (x - mean);
    above = value - mean > deviations * std::sqrt(squares / (n - 1));
  }
  window.push_back(value);
  if (window.size() > SkipStep::kWindow) window.pop_front();
  return above;
}

}  // namespace

bool SkipStep::skips(double loss, double norm) {
  if (!on()) return false;
  const bool by_loss = stands_out(losses_, loss, deviations_),
             by_norm = stands_out(norms_, norm, deviations_);
  return by_loss || by_norm;
}

Json SkipStep::state() const {
  return {{"losses", losses_}, {"norms", norms_}};
}

void SkipStep::load(const Json& state) {
  losses_ = state.at("losses").get<std::deque<double>>();
  norms_ = state.at("norms").get<std::deque<double>>();
}

}  // namespace evenkeel::optim
