// What the probes of residual sub-layers share: the stream that a sub-layer leaves, rebuilt from what it
// reports on the plain path (nn::ResidualSink, spec/residual.h):
//
//   y_i = omega_i x_{i-1} + f_i,    x_i = N(y_i) where the scheme has a norm after adding, else y_i
//
// f_i is the branch as it is added: its scale, its norm and dropout included. A site is
// "<stack>.<layer>.<branch>", e.g. "blocks.0.attn" or "encoder.layers.0.mlp".
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "evenkeel/nn/residual.h"
#include "evenkeel/probes/subject.h"

namespace evenkeel::probes {

/// y [N, D], of what a sink receives.
at::Tensor sublayer_sum(const nn::Residual& at, const at::Tensor& x, const at::Tensor& f);
/// x_i [N, D], of y_i.
at::Tensor sublayer_output(const nn::Residual& at, const at::Tensor& sum);

/// "blocks.0" and "blocks" of "blocks.0.attn".
std::string layer_of(const std::string& site);
std::string stack_of(const std::string& site);

/// One stack among sites in the order in which they act.
struct Stack {
  std::string name;
  std::vector<std::size_t> members;  ///< positions in the list of sites
};
std::vector<Stack> stacks_of(const std::vector<std::string>& sites);

/// Population variance over all values, the mean of all removed: the variance of Admin's rules.
double variance(const at::Tensor& x);

/// A forward pass; what it gives is the training loss, a scalar, or nothing where nobody asks.
using Pass = std::function<at::Tensor(const nn::Context&)>;

/// The subject's on its batch. Throws InputError when the model has no residual sub-layer.
Pass pass_of(const Subject& subject);

/// Positions to show of n: all of up to 16, else the first and last 8.
std::vector<std::size_t> shown_of(std::size_t n);

}  // namespace evenkeel::probes
