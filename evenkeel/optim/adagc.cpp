#include "evenkeel/optim/adagc.h"

#include <fmt/format.h>

#include <algorithm>

#include "evenkeel/base/error.h"

namespace evenkeel::optim {
namespace {

constexpr double kRelative = 1.05, kKept = 0.98;

}  // namespace

void AdaGc::require_one_each(const std::vector<double>& norms) const {
  if (gamma_.size() == norms.size()) return;
  throw InputError(fmt::format(
      "the saved state of AdaGC holds {} tensors, and {} are trained; it belongs to another model",
      gamma_.size(), norms.size()));
}

void AdaGc::learn(const std::vector<double>& norms) {
  if (seen_ == 0) gamma_.assign(norms.size(), 0);
  require_one_each(norms);
  for (std::size_t i = 0; i < norms.size(); ++i)
    if (norms[i] > 0) gamma_[i] = gamma_[i] > 0 ? std::min(gamma_[i], norms[i]) : norms[i];
  ++seen_;
}

std::vector<double> AdaGc::factors(const std::vector<double>& norms) {
  require_one_each(norms);
  std::vector<double> all;
  for (std::size_t i = 0; i < norms.size(); ++i) {
    const double norm = norms[i];
    double& gamma = gamma_[i];
    const double h = gamma > 0 && norm > kRelative * gamma ? kRelative * gamma / norm : 1;
    if (norm > 0) gamma = gamma > 0 ? kKept * gamma + (1 - kKept) * h * norm : norm;
    all.push_back(h);
  }
  return all;
}

Json AdaGc::state() const {
  return {{"seen", seen_}, {"gamma", gamma_}};
}

void AdaGc::load(const Json& state) {
  seen_ = state.at("seen");
  gamma_ = state.at("gamma").get<std::vector<double>>();
}

}  // namespace evenkeel::optim
