// Output change: how far the residual stream moves when all matrices move a little, over depth.
//
//   change_i = mean over all values of (xhat_i(W + delta) - xhat_i(W))^2,  xhat = (x - mean) / std per token
//
// x_i is the stream after sub-layer i, so the last change is that of the normed stack output (its gain not
// counted), and one deep model gives the whole curve over the number of sub-layers. delta is +-1e-4 with a
// seeded random sign or -1e-6 sign(gradient of the training loss), for every matrix inside the blocks; not
// for embedding, head, gains, biases and omega. Dropout is off.
//
// Theorem 2 of Liu, Liu, Gao, Chen & Han 2020 (arXiv 2004.08249): change_N is about C sum_i beta_ii^2, which
// grows as N for Post-LN and as log N for Pre-LN and Admin. With independent delta of size e and matrices of
// standard deviation s_k, each sub-layer adds beta_ii^2 sum_k e^2 / s_k^2.
//
// Cost: two forward passes (one more per further seed); with the gradient's sign a backward pass on top.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "evenkeel/probes/probe.h"
#include "evenkeel/probes/residual_stream.h"

namespace evenkeel::probes {

/// `size` with the sign of a normal number, for every value; `name` and seed decide.
at::Tensor random_change(const at::Tensor& like, double size, std::uint64_t seed, const std::string& name);

/// The standardised streams after every sub-layer of a pass.
struct Streams {
  std::vector<std::string> sites;
  std::vector<at::Tensor> values;  ///< [N, D]
};
Streams standardised_streams(const Pass& pass, nn::Context context);

/// change_i of the streams `before`, by `pass` with `deltas` added to `matrices`, which are restored to the
/// bit.
std::vector<double> changes(const Streams& before, const Pass& pass, const nn::Context& context,
                            const std::vector<at::Tensor>& matrices, const std::vector<at::Tensor>& deltas);

/// How a curve over i = 1 ... n grows, from i = 5 on.
struct Growth {
  double exponent = 0;               ///< slope of ln change over ln i
  double linear_r2 = 0, log_r2 = 0;  ///< R^2 of straight lines over i and over ln i
};
/// nullopt with fewer than 10 points or a change that is not positive.
std::optional<Growth> growth_of(const std::vector<double>& change);

Probe output_change_probe();

}  // namespace evenkeel::probes
