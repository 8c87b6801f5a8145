// A small resolved encoder-decoder experiment and batches of random pairs, for tests that need a model.
#pragma once

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <vector>

#include "evenkeel/base/rng.h"
#include "evenkeel/models/model.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::test {

/// post_ln, biases, ReLU, Xavier, no z-loss: the family as it is where nothing is said.
inline Experiment small_pair_experiment(std::int64_t width = 16, std::int64_t encoder = 2,
                                        std::int64_t decoder = 2, std::int64_t heads = 2,
                                        std::int64_t vocab = 23) {
  Experiment e;
  e.arch.family = Family::kSeq2Seq;
  e.arch.size = "test";
  e.arch.width = width;
  e.arch.depth = encoder;
  e.arch.decoder_depth = decoder;
  e.arch.heads = heads;
  e.arch.ffn_width = 4 * width;
  e.arch.context = 12;
  e.arch.residual = ResidualScheme::kPostLn;
  e.arch.activation = ActivationKind::kRelu;
  e.arch.init = MatrixInit::kXavier;
  e.arch.bias = true;
  e.arch.norm_eps = 1e-5;
  e.interventions.z_loss = 0;
  e.data.kind = DataKind::kSyntheticPairs;
  e.data.vocab = vocab;
  e.data.batch_tokens = 64;
  e.optim.weight_decay = 0;
  e.optim.warmup = Duration{4};
  e.train.precision = Precision::kFp32;
  e.train.steps = 20;
  return e;
}

/// Pairs of the lengths given (sources, targets), padded to `source_cols` and `cols`, or as far as needed.
inline models::Batch random_pairs(const Experiment& e, const std::vector<std::int64_t>& source_lengths,
                                  const std::vector<std::int64_t>& lengths, std::uint64_t seed,
                                  std::int64_t source_cols = 0, std::int64_t cols = 0) {
  const auto rows = static_cast<std::int64_t>(lengths.size());
  source_cols = std::max(source_cols, *std::max_element(source_lengths.begin(), source_lengths.end()));
  cols = std::max(cols, *std::max_element(lengths.begin(), lengths.end()));
  models::Batch b;
  b.sources = at::full({rows, source_cols}, std::int64_t{PairIds::kPad}, at::kLong);
  b.inputs = at::full({rows, cols}, std::int64_t{PairIds::kPad}, at::kLong);
  b.targets = at::full({rows * cols}, std::int64_t{-1}, at::kLong);
  b.source_lengths = at::tensor(source_lengths);
  b.lengths = at::tensor(lengths);
  const auto words = static_cast<std::uint64_t>(*e.data.vocab - PairIds::kFirst);
  for (std::int64_t row = 0; row < rows; ++row) {
    Rng rng(seed, "test/pair/" + std::to_string(row));
    const auto word = [&] { return static_cast<std::int64_t>(PairIds::kFirst + rng.below(words)); };
    const auto source_length = source_lengths[static_cast<std::size_t>(row)],
               length = lengths[static_cast<std::size_t>(row)];
    for (std::int64_t t = 0; t + 1 < source_length; ++t)
      b.sources.data_ptr<std::int64_t>()[row * source_cols + t] = word();
    b.sources.data_ptr<std::int64_t>()[row * source_cols + source_length - 1] = PairIds::kEnd;
    auto *inputs = b.inputs.data_ptr<std::int64_t>() + row * cols,
         *targets = b.targets.data_ptr<std::int64_t>() + row * cols;
    inputs[0] = PairIds::kBos;
    for (std::int64_t t = 0; t + 1 < length; ++t) inputs[t + 1] = targets[t] = word();
    targets[length - 1] = PairIds::kEnd;
  }
  return b;
}

}  // namespace evenkeel::test
