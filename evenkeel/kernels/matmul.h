// The three products of a linear layer y = x W^T + b, on tiles: forward, gradient of the input, gradient of
// the weight.
//
// x, y and their gradients are stored as T (fp32 or bf16), weights and their gradients as fp32; sums are
// fp32. W may consist of several matrices below each other (queries, keys and values in one product): it is
// given by its rows. The bits do not depend on the number of threads. Cost: 2 m n k each; a packed copy of
// the operands of a panel or chunk.
#pragma once

#include <cstdint>
#include <vector>

#include "evenkeel/kernels/types.h"

namespace evenkeel::kernels {

/// Row i of W [n, k].
using WeightRows = std::vector<const float*>;
using GradientRows = std::vector<float*>;

/// y [m, n] = x [m, k] W^T + bias [n] (or null).
template <class T>
void linear_forward(const T* x, std::int64_t m, std::int64_t k, const WeightRows& weight, const float* bias,
                    T* y);
/// dx [m, k] = dy [m, n] W.
template <class T>
void linear_backward_input(const T* dy, std::int64_t m, std::int64_t k, const WeightRows& weight, T* dx);
/// dW [n, k] = dy^T x, overwritten.
template <class T>
void linear_backward_weight(const T* dy, const T* x, std::int64_t m, std::int64_t k,
                            const GradientRows& gradient);
/// db [n] = sum over the rows of dy [m, n], overwritten; in chunks of fixed size, in order.
template <class T>
void sum_rows(const T* dy, std::int64_t m, std::int64_t n, float* db);

enum class Activation { kGeluTanh, kGeluErf, kRelu };

struct Mlp {
  std::int64_t rows = 0, width = 0, hidden = 0;
  Activation activation = Activation::kGeluTanh;
  WeightRows w1, w2;                               ///< [hidden, width] and [width, hidden]
  const float *bias1 = nullptr, *bias2 = nullptr;  ///< or null
};
/// y = W2 act(W1 x + b1) + b2: the activation happens on a block of rows while it is in cache and act(.) is
/// never stored. `pre` [rows, hidden], what goes into the activation, is kept for the backward pass (null:
/// not kept).
template <class T>
void mlp_forward(const Mlp& mlp, const T* x, T* pre, T* y);
/// `pre` is overwritten by its gradient, `act` [rows, hidden] becomes act(.): what the gradients of W1 and W2
/// need.
template <class T>
void mlp_backward(const Mlp& mlp, const T* dy, T* pre, T* act, T* dx);

}  // namespace evenkeel::kernels
