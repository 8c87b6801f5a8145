// What a forward pass needs to know besides its input, and where it reports statistics.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>

#include "evenkeel/ops/attention.h"
#include "evenkeel/spec/train.h"

namespace evenkeel::nn {

/// Receives what modules measure while they compute. Keys are those of docs/formats/run_directory.md.
class StatSink {
 public:
  virtual ~StatSink() = default;
  /// One number per head, e.g. key "attn/layer00/logit_max".
  virtual void heads(std::string_view key, std::vector<double> values) = 0;
  /// One number, e.g. key "block/layer00/out_rms".
  virtual void scalar(std::string_view key, double value) = 0;
};

/// Receives what enters the attention products, for checks of them.
class QueryKeySink {
 public:
  virtual ~QueryKeySink() = default;
  /// q [B H, T, K], k [B H, S, K] double, after every transform and the rotation; logits are those of
  /// `rule` for every j, padding included, or for j <= i when `causal`. sink [H] double, one more logit of
  /// every row, or undefined.
  virtual void query_key(std::string_view site, const at::Tensor& q, const at::Tensor& k,
                         const kernels::ScoreRule& rule, bool causal, const at::Tensor& sink) = 0;
};

class Residual;

/// Receives what enters every residual addition, in the order in which a pass computes them: for Admin's
/// profile and other checks.
class ResidualSink {
 public:
  virtual ~ResidualSink() = default;
  /// Just before `at` adds: x [N, D] what its shortcut scales, f [N, D] its branch as it is added (dropout,
  /// norm and scale included), both as wide as the stream.
  virtual void residual(const Residual& at, const at::Tensor& x, const at::Tensor& f) = 0;
};

/// Which implementation of an op a module uses, and why: for the manifest.
struct OpUse {
  std::string op;  ///< "attention"
  OpPath path = OpPath::kPlain;
  std::string why;
  bool thread_invariant = false;  ///< no bit of what it computes depends on the number of threads
};

struct Context {
  bool training = false;                   ///< dropout acts only when true
  std::uint64_t seed = 0;                  ///< of dropout, together with step and module path
  std::int64_t step = 0;                   ///< optimiser steps done before this forward pass
  Precision precision = Precision::kFp32;  ///< of matrix products; kAuto counts as fp32
  OpPath ops = OpPath::kPlain;             ///< fused kernels or elementary operations
  double temperature = 1;                  ///< attention logits are divided by it
  StatSink* stats = nullptr;               ///< null: measure nothing. Measuring changes no bit of the result.
  QueryKeySink* query_key = nullptr;       ///< null: nobody asks
  ResidualSink* residuals = nullptr;       ///< null: nobody asks

  bool fused() const { return ops == OpPath::kFused; }
  /// What the fused path stores activations in; the residual stream is fp32 on both.
  at::ScalarType storage() const { return precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat; }
  ops::Rounding rounding() const {
    return precision == Precision::kBf16 ? ops::Rounding::kBf16 : ops::Rounding::kNone;
  }
  /// How an op runs that has kernels for every storage type, on parameters of `type`.
  OpUse use(std::string op, c10::ScalarType type) const;
};

}  // namespace evenkeel::nn
