#include "evenkeel/train/op_paths.h"

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>

#include <set>
#include <string>

#include "evenkeel/kernels/isa.h"
#include "evenkeel/kernels/tile.h"
#include "evenkeel/nn/attention.h"
#include "evenkeel/ops/cross_entropy.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/train/build_model.h"
#include "evenkeel/train/evaluate.h"
#include "tests/support/compare.h"
#include "tests/support/small_model.h"

namespace evenkeel::train {
namespace {

/// Names of everything that will run backward from `loss`.
std::string graph_of(const at::Tensor& loss) {
  std::set<torch::autograd::Node*> seen;
  std::vector<torch::autograd::Node*> open{loss.grad_fn().get()};
  std::string names;
  while (!open.empty()) {
    torch::autograd::Node* node = open.back();
    open.pop_back();
    if (node == nullptr || !seen.insert(node).second) continue;
    names += node->name() + "\n";
    for (const torch::autograd::Edge& edge : node->next_edges()) open.push_back(edge.function.get());
  }
  return names;
}

Json described(models::Model& model, const Experiment& e) {
  return op_paths(model, e.train, optim::make_optimiser(model.parameters(), e.optim)->op_uses());
}

/// A treatment that the fused attention does not know.
class Halve : public nn::HeadTransform {
 public:
  at::Tensor forward(const at::Tensor& x) const override { return x * 0.5; }
};

TEST(OpPaths, AreThoseOfTheGraphThatRuns) {
  for (const OpPath path : {OpPath::kPlain, OpPath::kFused})
    for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
      Experiment e = test::small_experiment();
      e.arch.dropout = 0.1;
      e.interventions.qk_norm = QkNorm::kPerHead;
      e.train.ops = path;
      e.train.precision = precision;
      const auto model = build_model(e);
      nn::Context context = pass_context(e.train);
      context.training = true;
      const auto [inputs, targets] = test::random_batch(e, 2, 1);
      const at::Tensor logits = model->forward(inputs, context);
      const ops::Loss loss = context.fused() ? ops::cross_entropy_(logits, targets, {})
                                             : ops::cross_entropy_plain(logits, targets, {0});
      const std::string graph = graph_of(loss.total);
      const Json all = described(*model, e), each = all.at("each");
      for (const auto& [op, function] : {std::pair{"embedding", "::Embedding>"},
                                         {"linear", "::FusedLinear>"},
                                         {"mlp", "::FusedMlp>"},
                                         {"attention", "::FusedAttention>"},
                                         {"norm", "::AddNorm>"},
                                         {"cross_entropy", "::CrossEntropyInPlace>"}}) {
        const bool runs = graph.find(function) != std::string::npos;
        EXPECT_EQ(each.at(op).at("path"), runs ? "fused" : "plain") << op << "\n" << graph;
        EXPECT_EQ(runs, path == OpPath::kFused) << op;
      }
      EXPECT_EQ(all.at("isa"), kernels::isa_name(kernels::isa()));
      EXPECT_EQ(all.at("thread_invariant"), path == OpPath::kFused);
      EXPECT_EQ(all.contains("tile"), path == OpPath::kFused);
      if (path == OpPath::kPlain) continue;
      const bool bf16 = precision == Precision::kBf16;
      EXPECT_EQ(all.at("tile"), bf16 ? kernels::tile<kernels::bf16>().name : kernels::tile<float>().name);
      EXPECT_EQ(each.at("attention").at("why"), bf16 ? "kernels for bf16" : "kernels for fp32");
      EXPECT_EQ(each.at("query_key_transform").at("path"), "fused");
    }
}

TEST(OpPaths, ATreatmentWithoutFusedFormRunsPlain) {
  Experiment e = test::small_experiment();
  const auto build = [&] {
    auto model = build_model(e);
    model->visit([](nn::Module& module) {
      if (auto* attention = dynamic_cast<nn::Attention*>(&module))
        attention->set_transforms("half", std::make_unique<Halve>(), std::make_unique<Halve>());
    });
    return model;
  };
  e.train.ops = OpPath::kFused;
  const auto fused = build();
  const Json all = described(*fused, e);
  EXPECT_EQ(all.at("each").at("query_key_transform"),
            (Json{{"path", "plain"}, {"why", "the treatment has no fused form"}}));
  EXPECT_EQ(all.at("each").at("attention").at("path"), "fused");
  EXPECT_EQ(all.at("thread_invariant"), false);

  const auto [inputs, targets] = test::random_batch(e, 2, 1);
  const at::Tensor y = fused->forward(inputs, pass_context(e.train));
  e.train.ops = OpPath::kPlain;
  EXPECT_LT(test::distance(y, build()->forward(inputs, pass_context(e.train))), test::kFp32);
}

TEST(OpPaths, WithoutTreatmentOrDropoutThereIsNothingToSayOfThem) {
  Experiment e = test::small_experiment();
  const auto model = build_model(e);
  const Json each = described(*model, e).at("each");
  EXPECT_FALSE(each.contains("query_key_transform"));
  EXPECT_FALSE(each.contains("embedding_dropout"));
}

TEST(OpPaths, InDoubleTheSpecificationRuns) {
  Experiment e = test::small_experiment();
  const auto model = build_model(e);
  model->convert(at::kDouble);
  const Json mlp = described(*model, e).at("each").at("mlp");
  EXPECT_EQ(mlp, (Json{{"path", "plain"}, {"why", "no kernels for Double"}}));
}

}  // namespace
}  // namespace evenkeel::train
