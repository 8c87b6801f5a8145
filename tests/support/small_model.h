// A small resolved experiment and a batch of tokens, for tests that need a model.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <utility>

#include "evenkeel/base/rng.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::test {

inline Experiment small_experiment(std::int64_t width = 32, std::int64_t depth = 2, std::int64_t heads = 2,
                                   std::int64_t context = 16, std::int64_t vocab = 37) {
  Experiment e;
  e.arch.size = "test";
  e.arch.width = width;
  e.arch.depth = depth;
  e.arch.heads = heads;
  e.arch.ffn_width = 4 * width;
  e.arch.context = context;
  e.data.kind = DataKind::kSynthetic;
  e.data.vocab = vocab;
  e.optim.weight_decay = 0.01;
  e.optim.warmup = Duration{4};
  e.train.precision = Precision::kFp32;
  e.train.steps = 20;
  return e;
}

/// Uniformly random inputs [B, T] and targets [B*T].
inline std::pair<at::Tensor, at::Tensor> random_batch(const Experiment& e, std::int64_t batch,
                                                      std::uint64_t seed) {
  Rng rng(seed, "test/batch");
  at::Tensor inputs = at::empty({batch, e.arch.context}, at::kLong),
             targets = at::empty({batch * e.arch.context}, at::kLong);
  const auto vocab = static_cast<std::uint64_t>(*e.data.vocab);
  for (std::int64_t i = 0; i < inputs.numel(); ++i) {
    inputs.data_ptr<std::int64_t>()[i] = static_cast<std::int64_t>(rng.below(vocab));
    targets.data_ptr<std::int64_t>()[i] = static_cast<std::int64_t>(rng.below(vocab));
  }
  return {inputs, targets};
}

inline at::Tensor random_normal(std::vector<std::int64_t> shape, std::uint64_t seed,
                                at::ScalarType type = at::kDouble) {
  Rng rng(seed, "test/normal");
  at::Tensor x = at::empty(shape, at::kDouble);
  for (std::int64_t i = 0; i < x.numel(); ++i) x.data_ptr<double>()[i] = rng.normal();
  return x.to(type);
}

}  // namespace evenkeel::test
