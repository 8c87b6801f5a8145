// Clipping by the global norm: g <- g min(1, max_norm / |g|), |g| over all parameters together.
//
// Pascanu et al. 2013, arXiv 1211.5063. A non-finite norm leaves the gradients alone and is returned as it
// is: the caller records it.
#pragma once

#include <vector>

#include "evenkeel/nn/module.h"

namespace evenkeel::optim {

struct ClipResult {
  double norm = 0;              ///< before clipping; NaN or infinite when a gradient is
  double clipped = 0;           ///< after it
  double factor = 1;            ///< of the gradients; 1 when they stay
  std::vector<double> norms{};  ///< before clipping, of each parameter; 0 without gradient
};

/// Only measures; max_norm 0 is off. Parameters without gradient count as zero. The factor is for
/// Optimiser::step, which applies it as it reads the gradients: the same bits as scaling them first.
ClipResult measure_clip(const std::vector<nn::Param*>& params, double max_norm);

}  // namespace evenkeel::optim
