#include "evenkeel/ops/cross_entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/sub.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>

#include "evenkeel/kernels/cross_entropy.h"
#include "evenkeel/ops/expect.h"

namespace evenkeel::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const char* op, const at::Tensor& logits, const at::Tensor& targets, const LossSpec& spec) {
  const Expect expect(op);
  expect.tensor("logits", logits, {kAny, kAny}, {at::kFloat, at::kBFloat16, at::kDouble});
  expect.tensor("targets", targets, {logits.size(0)}, {at::kLong});
  expect.optional("occurring", spec.occurring, {logits.size(1)}, {at::kBool});
  expect.that(spec.z_coefficient >= 0 && spec.label_smoothing >= 0 && spec.label_smoothing < 1,
              "z_coefficient must not be negative and label_smoothing lie in [0, 1)");
}

double mean_in_double(const at::Tensor& x) {
  return x.detach().to(at::kDouble).mean().item<double>();
}

template <class T>
kernels::CrossEntropySums run_in_place(const at::Tensor& logits, const at::Tensor& targets,
                                       const LossSpec& spec, bool overwrite) {
  const at::Tensor ids = targets.contiguous(), occurring = spec.occurring.defined()
                                                               ? spec.occurring.to(at::kBool).contiguous()
                                                               : spec.occurring;
  kernels::CrossEntropy<T> a;
  a.rows = logits.size(0);
  a.vocab = logits.size(1);
  a.logits = reinterpret_cast<T*>(logits.data_ptr());
  a.targets = ids.data_ptr<std::int64_t>();
  a.z_coefficient = spec.z_coefficient;
  a.label_smoothing = spec.label_smoothing;
  if (occurring.defined()) a.occurring = reinterpret_cast<const std::uint8_t*>(occurring.data_ptr<bool>());
  a.overwrite = overwrite;
  return kernels::cross_entropy(a);
}

/// Logits become their gradient in the forward pass.
struct CrossEntropyInPlace : torch::autograd::Function<CrossEntropyInPlace> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& logits, const at::Tensor& targets,
                            const LossSpec& spec, bool overwrite, Loss* loss) {
    const at::Tensor y = logits.contiguous();
    const kernels::CrossEntropySums sums = y.scalar_type() == at::kBFloat16
                                               ? run_in_place<kernels::bf16>(y, targets, spec, overwrite)
                                               : run_in_place<float>(y, targets, spec, overwrite);
    const double n = static_cast<double>(sums.rows);
    loss->ce = sums.ce / n;
    loss->mean_log_z = sums.log_z / n;
    loss->z = spec.z_coefficient == 0 ? 0 : spec.z_coefficient * sums.log_z_squares / n;
    if (spec.occurring.defined())
      loss->mean_logit = sums.occurring_logits / (n * spec.occurring.to(at::kDouble).sum().item<double>());
    if (overwrite) {
      if (y.is_same(logits)) torch::autograd::impl::bump_version(logits);
      ctx->save_for_backward({y});
    }
    return at::full({}, loss->ce + loss->z, y.options().dtype(at::kFloat));
  }
  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    at::Tensor gradient = ctx->get_saved_variables()[0].detach();
    const double factor = upstream[0].item<double>();
    if (factor != 1) gradient.mul_(factor);
    return {gradient, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

Loss cross_entropy_(const at::Tensor& logits, const at::Tensor& targets, const LossSpec& spec) {
  check("cross_entropy_", logits, targets, spec);
  if (logits.scalar_type() == at::kDouble) return cross_entropy_plain(logits, targets, spec);
  Loss loss;
  const bool overwrite = c10::GradMode::is_enabled() && logits.requires_grad();
  loss.total = CrossEntropyInPlace::apply(logits, targets, spec, overwrite, &loss);
  return loss;
}

Loss cross_entropy_plain(const at::Tensor& logits, const at::Tensor& targets, const LossSpec& spec) {
  check("cross_entropy_plain", logits, targets, spec);
  const at::Tensor counted = targets.ge(0).nonzero().squeeze(1);
  const at::Tensor y = at::index_select(logits, 0, counted), t = at::index_select(targets, 0, counted);
  const at::Tensor log_z = at::logsumexp(y, {1}, true);
  at::Tensor ce = log_z - y.gather(1, t.unsqueeze(1)) * (1 - spec.label_smoothing);
  if (spec.label_smoothing != 0) ce = ce - y.mean({1}, true) * spec.label_smoothing;
  Loss loss;
  loss.ce = mean_in_double(ce);
  loss.mean_log_z = mean_in_double(log_z);
  if (spec.z_coefficient != 0) {
    const at::Tensor z = log_z * log_z * spec.z_coefficient;
    loss.z = mean_in_double(z);
    ce = ce + z;
  }
  loss.total = ce.mean();
  // The mean over the rows first: V numbers are then selected in place of N V.
  if (spec.occurring.defined())
    loss.mean_logit =
        mean_in_double(at::index_select(y.detach().mean({0}), 0, spec.occurring.nonzero().squeeze(1)));
  return loss;
}

}  // namespace evenkeel::ops
