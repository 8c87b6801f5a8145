// The reference path on LibTorch's meta device, where tensors have shapes and no memory: whatever reads a
// value, or makes a tensor on another device than its inputs', fails. Up to the logits; the shapes that
// LibTorch 1.13 itself does not know there are given below.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/library.h>

#include "evenkeel/train/build_model.h"
#include "tests/support/small_model.h"

namespace evenkeel::models {
namespace {

at::Tensor like(const at::Tensor& x) {
  return at::empty_like(x);
}
at::Tensor negated(const at::Tensor& x) {
  return at::empty_like(x, x.options().dtype(at::kBool));
}
at::Tensor selected(const at::Tensor& x, std::int64_t dim, const at::Tensor& index) {
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes[static_cast<std::size_t>(dim)] = index.numel();
  return at::empty(sizes, x.options());
}
at::Tensor table_gradient(const at::Tensor& gradient, const at::Tensor&, std::int64_t rows, std::int64_t,
                          bool) {
  return at::empty({rows, gradient.size(-1)}, gradient.options());
}
at::Tensor broadcast(const at::Tensor& condition, const at::Tensor& a, const at::Tensor& b) {
  return at::empty(at::infer_size(at::infer_size(condition.sizes(), a.sizes()), b.sizes()), a.options());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> normed(const at::Tensor& x, at::IntArrayRef,
                                                      const c10::optional<at::Tensor>&,
                                                      const c10::optional<at::Tensor>&, double) {
  const at::Tensor of_rows = at::empty({x.size(0), 1}, x.options());
  return {at::empty_like(x), of_rows, of_rows};
}
std::tuple<at::Tensor, at::Tensor, at::Tensor> norm_gradients(
    const at::Tensor&, const at::Tensor& x, at::IntArrayRef, const at::Tensor&, const at::Tensor&,
    const c10::optional<at::Tensor>& gain, const c10::optional<at::Tensor>& bias, std::array<bool, 3>) {
  const auto gradient = [](const c10::optional<at::Tensor>& of) {
    return of.has_value() && of->defined() ? at::empty_like(*of) : at::Tensor();
  };
  return {at::empty_like(x), gradient(gain), gradient(bias)};
}

// The shapes that LibTorch 1.13 itself has no word about on this device.
TORCH_LIBRARY_IMPL(aten, Meta, library) {
  library.impl("relu", like);
  library.impl("index_select", selected);
  library.impl("embedding_dense_backward", table_gradient);
  library.impl("where.self", broadcast);
  library.impl("logical_not", negated);
  library.impl("native_layer_norm", normed);
  library.impl("native_layer_norm_backward", norm_gradients);
}

void expect_pass(const Experiment& e) {
  const auto model = train::build_model(e);
  model->convert(at::TensorOptions(at::kMeta).dtype(at::kFloat));
  const auto ids = at::TensorOptions(at::kMeta).dtype(at::kLong);
  const std::int64_t batch = 3, time = e.arch.context;
  Batch in;
  in.inputs = at::empty({batch, time}, ids);
  if (e.arch.family == Family::kSeq2Seq) {
    in.sources = at::empty({batch, time - 2}, ids);
    in.source_lengths = at::empty({batch}, ids);
    in.lengths = at::empty({batch}, ids);
  }
  const at::Tensor logits = model->forward(in, {});
  EXPECT_TRUE(logits.is_meta());
  EXPECT_EQ(logits.sizes(), (at::IntArrayRef{batch * time, *e.data.vocab}));
  logits.sum().backward();
  for (const nn::Param* param : model->parameters()) {
    ASSERT_TRUE(param->value.grad().defined()) << param->name;
    EXPECT_TRUE(param->value.grad().is_meta()) << param->name;
    EXPECT_EQ(param->value.grad().sizes(), param->value.sizes()) << param->name;
  }
}

TEST(MetaDevice, EveryFamilyPassesThereAndBack) {
  for (const auto& [family, name] : EnumNames<Family>::names) {
    SCOPED_TRACE(name);
    Experiment e = test::small_experiment();
    e.arch.family = family;
    if (family == Family::kSeq2Seq) e.arch.decoder_depth = e.arch.depth;
    expect_pass(e);
    e.arch.bias = true;
    e.arch.norm = NormType::kRmsNorm;
    e.arch.residual = ResidualScheme::kPostLn;
    e.arch.activation = ActivationKind::kRelu;
    expect_pass(e);
    e.arch.residual = ResidualScheme::kAdmin;
    e.interventions.qk_norm = QkNorm::kPerHead;
    e.interventions.output_gate = OutputGate::kHeadwise;
    e.interventions.attention_softcap = 5;
    e.interventions.output_softcap = 10;
    e.interventions.embedding = EmbeddingForm::kNorm;
    expect_pass(e);
    e.arch.residual = ResidualScheme::kPreLn;
    e.interventions.mu_param = MuParam::kCompleteP;
    e.interventions.weight_norm = true;
    expect_pass(e);
  }
}

}  // namespace
}  // namespace evenkeel::models
