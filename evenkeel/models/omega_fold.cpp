#include "evenkeel/models/omega_fold.h"

#include <utility>

namespace evenkeel::models {

void OmegaFolds::add(const nn::Residual& sublayer, std::vector<const nn::Linear*> readers) {
  if (sublayer.omega_name().empty()) return;
  all_.push_back({&sublayer, producers_, std::move(readers)});
  const nn::Norm& norm = *sublayer.norm();
  producers_ = {norm.gain.name};
  if (norm.bias != nullptr) producers_.push_back(norm.bias->name);
}

}  // namespace evenkeel::models
