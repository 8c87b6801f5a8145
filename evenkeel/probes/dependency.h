// Dependency: how much of the residual stream each branch has.
//
//   Every stream of a stack is a sum over its embedding and its branches, exactly: x_i = sum_j C_ij + B_i
//   with C_00 = x_0. A sub-layer y = omega x + f takes C_ij to omega C_{i-1,j} and adds C_ii = f_i; a norm
//   after it is linear once its statistics are known, C -> g (C - mean(C)) / sqrt(var(y) + eps) per token
//   (RMSNorm: g C / rms(y)), and its bias goes into B.
//
//   beta_ij = sqrt(Var[C_ij] / Var[x_i]),    dependency_i = Var[f_i] / Var[omega_i x_{i-1} + f_i]
//
// beta_ij is the weight of the unit-variance branch output a_j in the stream scaled to unit variance (j = 0:
// the embedding), and sum_j beta_ij^2 is 1 but for covariances between branches. beta_ii^2 is the dependency
// where no norm follows, and nearly so under a norm with gain 1. Var is the population variance over all
// values of a tensor. Liu, Liu, Gao, Chen & Han 2020 (arXiv 2004.08249); at initialisation beta_ii^2 is about
// v / (1 + v) for Post-LN, v_i / (Var[x_0] + sum_{j<=i} v_j) for Pre-LN and Admin, v = Var[f].
//
// All schemes of spec/residual.h are sums of this kind, so none is refused. Cost: one forward pass and, for n
// sub-layers, about n^2 / 2 passes over an [N, D] tensor; memory n such tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "evenkeel/nn/residual.h"
#include "evenkeel/probes/probe.h"

namespace evenkeel::probes {

struct SubLayerShares {
  std::string site;
  double shortcut_variance = 0;  ///< of omega x, with the layer's input where that is added
  double branch_variance = 0;    ///< of f
  double dependency = 0;
  std::vector<double> beta;  ///< beta_i0 ... beta_ii
  double bias = 0;           ///< that of B_i, sqrt(Var[B_i] / Var[x_i])
  /// sum_j beta_ij^2, B_i not counted.
  double sum_of_squares() const;
};

/// Listens to one forward pass on the plain path.
class ShareSink : public nn::ResidualSink {
 public:
  /// Of the norms in the stack.
  ShareSink(NormType norm, double eps);
  void residual(const nn::Residual& at, const at::Tensor& x, const at::Tensor& f) override;

  /// Of all stacks, in the order in which they act.
  const std::vector<SubLayerShares>& sublayers() const { return sublayers_; }
  /// C_i0 ... C_ii [N, D] and then B_i (undefined without biases) of the newest sub-layer of `stack`.
  std::vector<at::Tensor> parts(const std::string& stack) const;

 private:
  struct Parts {
    std::vector<at::Tensor> of;  ///< by branch
    at::Tensor bias;
  };
  struct State {
    Parts now, layer_input;
    std::string layer;
  };
  void norm(Parts& parts, const nn::Norm& by, const at::Tensor& sum) const;

  NormType type_;
  double eps_;
  std::map<std::string, State> stacks_;
  std::vector<SubLayerShares> sublayers_;
};

Probe dependency_probe();

}  // namespace evenkeel::probes
