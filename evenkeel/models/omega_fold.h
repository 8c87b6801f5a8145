// Where Admin's omegas can go when they are to be gone: omega x + f(x), with x = N(...) or an embedding, is
// x' + f'(x') with omega in the gain and bias (or table) that x comes from, and the columns of the matrices
// that read x divided by it. Exact (Liu et al. 2020, arXiv 2004.08249, Appendix C); the model then has its
// scheme without omega.
#pragma once

#include <string>
#include <vector>

#include "evenkeel/nn/linear.h"
#include "evenkeel/nn/residual.h"

namespace evenkeel::models {

/// Of one sub-layer.
struct OmegaFold {
  const nn::Residual* sublayer = nullptr;
  std::vector<std::string> producers;      ///< names of parameters [..., D], or of an embedding scale
  std::vector<const nn::Linear*> readers;  ///< [out, D]
};

/// Those of one stack, in the order in which its sub-layers act.
class OmegaFolds {
 public:
  /// `start` names what the first sub-layer's input comes from.
  explicit OmegaFolds(std::string start) : producers_{std::move(start)} {}
  /// `readers`: the matrices of the branch that read the stream. Nothing for a sub-layer without omega.
  void add(const nn::Residual& sublayer, std::vector<const nn::Linear*> readers);
  const std::vector<OmegaFold>& all() const { return all_; }

 private:
  std::vector<std::string> producers_;  ///< of the next sub-layer's input
  std::vector<OmegaFold> all_;
};

}  // namespace evenkeel::models
