#include "evenkeel/optim/zclip.h"

#include <algorithm>
#include <cmath>

namespace evenkeel::optim {
namespace {

constexpr double kMemory = 0.97, kZThreshold = 2.5, kEps = 1e-6;

}  // namespace

double ZClip::limit(double norm) {
  if (seen_ < kFirst) {
    mean_ += norm;
    variance_ += norm * norm;
    if (++seen_ < kFirst) return norm;
    mean_ /= static_cast<double>(kFirst);
    variance_ = std::max(0.0, variance_ / static_cast<double>(kFirst) - mean_ * mean_);
    return norm;
  }
  const double deviation = std::sqrt(variance_), z = (norm - mean_) / (deviation + kEps);
  const double clipped = z > kZThreshold ? mean_ + kZThreshold * kZThreshold / z * deviation : norm;
  mean_ = kMemory * mean_ + (1 - kMemory) * clipped;
  variance_ = kMemory * variance_ + (1 - kMemory) * (clipped - mean_) * (clipped - mean_);
  return clipped;
}

Json ZClip::state() const {
  return {{"seen", seen_}, {"mean", mean_}, {"variance", variance_}};
}

void ZClip::load(const Json& state) {
  seen_ = state.at("seen");
  mean_ = state.at("mean");
  variance_ = state.at("variance");
}

}  // namespace evenkeel::optim
