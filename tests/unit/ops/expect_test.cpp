// Every op that reads memory through raw pointers refuses what it does not expect, with a sentence.
#include "evenkeel/ops/expect.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "evenkeel/ops/adamw.h"
#include "evenkeel/ops/add_norm.h"
#include "evenkeel/ops/atan2.h"
#include "evenkeel/ops/attention.h"
#include "evenkeel/ops/cross_entropy.h"
#include "evenkeel/ops/embedding.h"
#include "evenkeel/ops/entropy_check.h"
#include "evenkeel/ops/linear.h"
#include "evenkeel/ops/reduce.h"
#include "evenkeel/ops/rotary.h"
#include "evenkeel/ops/sigma_reparam.h"
#include "evenkeel/ops/top_singular.h"

namespace evenkeel::ops {
namespace {

at::Tensor floats(at::IntArrayRef sizes) {
  return at::ones(sizes, at::kFloat);
}

/// Runs `op`, which must throw, and looks for `tag` at the beginning of what it says.
template <class Op>
void expect_refused(const std::string& tag, const Op& op) {
  try {
    op();
    ADD_FAILURE() << tag << " took it";
  } catch (const std::invalid_argument& error) {
    EXPECT_EQ(std::string(error.what()).rfind("[ops." + tag, 0), 0u) << error.what();
  }
}

TEST(Expect, SaysWhatWasExpectedAndWhatThereIs) {
  const auto said = [](const at::Tensor& t) -> std::string {
    try {
      Expect("op").tensor("x", t, {kAny, 4}, {at::kFloat, at::kBFloat16});
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(said(floats({3, 4})), "");
  EXPECT_EQ(said(floats({3, 4}).to(at::kBFloat16)), "");
  EXPECT_EQ(said(floats({3, 5})), "[ops.op] x must be Float or BFloat16 [any, 4], got Float [3, 5]");
  EXPECT_EQ(said(floats({4})), "[ops.op] x must be Float or BFloat16 [any, 4], got Float [4]");
  EXPECT_EQ(said(floats({3, 4}).to(at::kInt)),
            "[ops.op] x must be Float or BFloat16 [any, 4], got Int [3, 4]");
  EXPECT_EQ(said({}), "[ops.op] x must be Float or BFloat16 [any, 4], got none");
  EXPECT_NO_THROW(Expect("op").optional("x", {}, {3}, {at::kFloat}));
  EXPECT_NO_THROW(Expect("op").contiguous("x", floats({3, 4})));
  EXPECT_THROW(Expect("op").contiguous("x", floats({3, 4}).t()), std::invalid_argument);
}

TEST(Expect, LinearLayers) {
  const at::Tensor x = floats({5, 8});
  expect_refused("fused_linear] weight", [&] { fused_linear(x, {{floats({4, 9})}, {}}); });
  expect_refused("fused_linear] weight", [&] { fused_linear(x, {{floats({4, 8}).to(at::kBFloat16)}, {}}); });
  expect_refused("fused_linear] bias", [&] { fused_linear(x, {{floats({4, 8})}, {floats({5})}}); });
  expect_refused("fused_linear]", [&] {
    fused_linear(x, {{4, floats({4, 8})}, {}});
  });  // a fourth would be dropped
  expect_refused("fused_mlp] b1", [&] {
    fused_mlp(x, {floats({16, 8}), floats({16}).to(at::kBFloat16), floats({8, 16}), {}});
  });
  expect_refused("fused_mlp] w2", [&] { fused_mlp(x, {floats({16, 8}), {}, floats({16, 8}), {}}); });
}

TEST(Expect, AttentionOfEitherForm) {
  AttentionInputs good;
  good.x = floats({6, 24});
  AttentionOptions options;
  options.batch = 2;
  options.heads = 2;
  EXPECT_NO_THROW(attention(good, options));
  const auto refused = [&](const std::string& name, const AttentionInputs& in) {
    expect_refused("attention] " + name, [&] { attention(in, options); });
    expect_refused("attention_reference] " + name, [&] { attention_reference(in, options); });
  };
  AttentionInputs in = good;
  in.query_lengths = at::ones({2}, at::kInt);
  refused("query_lengths", in);
  in = good;
  in.key_lengths = at::tensor(std::vector<std::int64_t>{3, 4});  // of three tokens
  refused("lengths", in);
  in = good;
  in.query_gain = floats({4}).to(at::kBFloat16);
  in.key_gain = floats({4});
  refused("query_gain", in);
  in = good;
  in.cos = floats({2, 2});  // of two positions
  in.sin = floats({3, 2});
  refused("rotation", in);
  in = good;
  in.memory = floats({6, 15});
  refused("memory", in);
}

TEST(Expect, TheRest) {
  AddNormInputs norm;
  norm.x = floats({3, 4});
  norm.gain = floats({4}).to(at::kBFloat16);
  expect_refused("add_norm] gain", [&] { add_norm(norm, {}); });
  norm.gain = floats({5});
  expect_refused("add_norm] gain", [&] { add_norm(norm, {}); });
  norm.gain = at::Tensor();
  norm.f = floats({4, 4});
  expect_refused("add_norm] f", [&] { add_norm(norm, {}); });
  expect_refused("cross_entropy_] targets", [&] {
    cross_entropy_(floats({3, 5}), at::zeros({2}, at::kLong), {});
  });
  expect_refused("cross_entropy_] targets", [&] {
    cross_entropy_(floats({3, 5}), at::zeros({3}, at::kInt), {});
  });
  expect_refused("embedding] ids", [&] { embedding(floats({3, 4}), at::zeros({2}, at::kInt)); });
  expect_refused("adamw_] exp_avg", [&] {
    adamw_({{floats({4}), floats({4}), floats({3}), floats({4})}}, {}, nullptr);
  });
  expect_refused("adamw_] gradient", [&] {
    adamw_({{floats({4}), floats({5}), floats({4}), floats({4})}}, {}, nullptr);
  });
  expect_refused("power_iterate] weight", [&] { power_iterate({floats({3, 4})}, floats({1, 5}), 0, 1); });
  expect_refused("power_iterate] weight", [&] { power_iterate({floats({5, 3}).t()}, floats({1, 5}), 0, 1); });
  expect_refused("sigma_reparam] v", [&] {
    sigma_reparam({floats({3, 4})}, floats({1}), {floats({1, 4}), floats({4}), floats({1}), floats({1})});
  });
  expect_refused("top_singular_values] block", [&] {
    top_singular_values({{floats({3, 4}), {}, floats({2, 4})}});
  });
  expect_refused("entropy_check] q", [&] { entropy_check(floats({1, 3, 4}), floats({1, 3, 4}), {}); });
  expect_refused("rotary] cos", [&] { rotary(floats({1, 3, 1, 4}), floats({3, 3}), floats({3, 2})); });
  expect_refused("atan2]", [&] { atan2(floats({3}), floats({4})); });
  expect_refused("sum_squares]", [&] { sum_squares(floats({3}).to(at::kInt)); });
}

}  // namespace
}  // namespace evenkeel::ops
