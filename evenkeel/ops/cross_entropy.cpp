#include "evenkeel/ops/cross_entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sub.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

namespace evenkeel::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

double mean_in_double(const at::Tensor& x) {
  return x.to(at::kDouble).mean().item<double>();
}

/// The loss given log Z [N, 1]; only logits carry a gradient.
struct CrossEntropy : torch::autograd::Function<CrossEntropy> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& logits, const at::Tensor& targets,
                            const at::Tensor& log_z, double c, double value) {
    ctx->save_for_backward({logits, targets, log_z});
    ctx->saved_data["c"] = c;
    return at::full({}, value, logits.options());
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &logits = saved[0], &targets = saved[1], &log_z = saved[2];
    const double c = ctx->saved_data["c"].toDouble();
    const double share = 1.0 / static_cast<double>(logits.size(0));
    at::Tensor gradient = at::sub(logits, log_z).exp_();
    // Without z-loss the weight is not formed at all, so off is off to the bit.
    if (c != 0) gradient.mul_(log_z * (2 * c) + 1);
    gradient.scatter_add_(1, targets.unsqueeze(1), at::full({targets.size(0), 1}, -1, logits.options()));
    gradient.mul_(upstream[0] * share);
    return {gradient, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

Loss cross_entropy(const at::Tensor& logits, const at::Tensor& targets, double c) {
  Loss loss;
  at::Tensor log_z;
  {
    c10::AutoGradMode no_grad(false);
    log_z = at::logsumexp(logits, {1}, true);
    loss.ce = mean_in_double(log_z - logits.gather(1, targets.unsqueeze(1)));
    const at::Tensor wide = log_z.to(at::kDouble);
    loss.mean_log_z = wide.mean().item<double>();
    loss.z = c == 0 ? 0 : c * (wide * wide).mean().item<double>();
  }
  loss.total = CrossEntropy::apply(logits, targets, log_z, c, loss.ce + loss.z);
  return loss;
}

at::Tensor cross_entropy_plain(const at::Tensor& logits, const at::Tensor& targets, double c) {
  const at::Tensor log_z = at::logsumexp(logits, {1}, true);
  return (log_z - logits.gather(1, targets.unsqueeze(1)) + log_z * log_z * c).mean();
}

double mean_logit(const at::Tensor& logits, const at::Tensor& ids) {
  c10::AutoGradMode no_grad(false);
  // The mean over the rows first: V numbers are then selected in place of N V.
  return mean_in_double(at::index_select(logits.mean({0}), 0, ids));
}

}  // namespace evenkeel::ops
