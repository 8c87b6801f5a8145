#include "evenkeel/nn/module.h"

#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "evenkeel/nn/embedding.h"
#include "evenkeel/nn/linear.h"

namespace evenkeel::nn {
namespace {

class Pair : public Module {
 public:
  explicit Pair(bool swapped) {
    for (const char* name : swapped ? std::array{"b", "a"} : std::array{"a", "b"})
      add_child(name, std::make_unique<Linear>(8, 16, true));
  }
};

TEST(Module, NamesAndOrder) {
  Pair pair(false);
  pair.name_tree();
  std::vector<std::string> names;
  for (const Param* p : pair.parameters()) names.push_back(p->name);
  EXPECT_EQ(names, (std::vector<std::string>{"a.weight", "a.bias", "b.weight", "b.bias"}));
  pair.name_tree("x.y");
  EXPECT_EQ(pair.parameters()[3]->name, "x.y.b.bias");
  EXPECT_EQ(pair.count(), 2 * (8 * 16 + 16));
}

TEST(Initialise, DependsOnSeedAndNameOnly) {
  Pair one(false), two(true), other(false);
  initialise(one, 5);
  initialise(two, 5);
  initialise(other, 6);
  EXPECT_TRUE(one.parameters()[0]->value.equal(two.parameters()[2]->value));
  EXPECT_FALSE(one.parameters()[0]->value.equal(one.parameters()[2]->value));
  EXPECT_FALSE(one.parameters()[0]->value.equal(other.parameters()[0]->value));
}

// A15.
TEST(Initialise, TruncatedNormal) {
  const double fan_in = 400;
  Linear linear(400, 1000, false);
  initialise(linear, 1);
  const at::Tensor w = linear.weight.value.detach().to(at::kDouble);
  // 4e5 draws: the sample standard deviation is good to 0.1 %.
  EXPECT_NEAR(w.std().item<double>(), 1 / std::sqrt(fan_in), 0.01 / std::sqrt(fan_in));
  EXPECT_NEAR(w.mean().item<double>(), 0, 5 / std::sqrt(fan_in * 4e5));
  EXPECT_LE(w.abs().max().item<double>(), 2 / (0.8796257 * std::sqrt(fan_in)) + 1e-8);
  EXPECT_GT(w.abs().max().item<double>(), 0.99 * 2.274 / std::sqrt(fan_in));
}

TEST(Initialise, EmbeddingIsPlainNormal) {
  Embedding embedding(2000, 100);
  initialise(embedding, 1);
  const at::Tensor w = embedding.weight.value.detach().to(at::kDouble);
  EXPECT_NEAR(w.std().item<double>(), 0.1, 0.001);
  // Not truncated: 2e5 normals reach past 4 sigma.
  EXPECT_GT(w.abs().max().item<double>(), 0.4);
}

}  // namespace
}  // namespace evenkeel::nn
