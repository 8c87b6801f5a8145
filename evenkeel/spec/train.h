// How long, how precisely and where one run trains, and what it records.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "evenkeel/config/field.h"

namespace evenkeel {

enum class Precision { kAuto, kFp32, kBf16 };
template <>
struct EnumNames<Precision> {
  static constexpr std::array names{std::pair{Precision::kAuto, "auto"}, std::pair{Precision::kFp32, "fp32"},
                                    std::pair{Precision::kBf16, "bf16"}};
};

/// Which implementation computes an op: one fused kernel, or its composition from elementary tensor
/// operations, which specifies it.
enum class OpPath { kPlain, kFused };
template <>
struct EnumNames<OpPath> {
  static constexpr std::array names{std::pair{OpPath::kPlain, "plain"}, std::pair{OpPath::kFused, "fused"}};
};

enum class Device { kCpu, kCuda };
template <>
struct EnumNames<Device> {
  static constexpr std::array names{std::pair{Device::kCpu, "cpu"}, std::pair{Device::kCuda, "cuda"}};
};

struct TrainSpec {
  std::int64_t steps = 300;
  std::int64_t batch = 16;
  std::int64_t seed = 1;
  double label_smoothing = 0;
  Precision precision = Precision::kAuto;  ///< after resolve: fp32 or bf16
  OpPath ops = OpPath::kFused;
  Device device = Device::kCpu;
  std::int64_t threads = 1;
  std::optional<Duration> eval_every;        ///< after resolve: always set; 0 means only first and last
  std::optional<Duration> checkpoint_every;  ///< after resolve: always set; 0 means only at the end
  std::int64_t keep_checkpoints = 1;
  std::optional<std::string> initial_weights;  ///< content hash; set by `evenkeel import`

  static void fields(auto& self, auto&& visit) {
    visit("steps", self.steps, {.doc = "Optimiser steps.", .min = 1, .max = 1e9});
    visit(
        "batch", self.batch,
        {.doc = "B, sequences per step; of sentence pairs see data.batch_tokens.", .min = 1, .max = 1 << 24});
    visit("seed", self.seed, {.doc = "Seeds initialisation, data order and dropout.", .min = 0});
    visit(
        "label_smoothing", self.label_smoothing,
        {.doc =
             "Share of each target spread evenly over the vocabulary in training; loss/train/ce then has it, "
             "the validation loss never.",
         .source = "arXiv 1512.00567",
         .min = 0,
         .max = 0.9});
    visit("precision", self.precision,
          {.doc = "Of matrix products: fp32, or bf16 with fp32 master weights, norms, softmax and loss. "
                  "auto: bf16 where "
                  "the processor has AVX512-BF16 or AMX, else fp32. Resolved before anything runs and the "
                  "same for all cells of a sweep."});
    visit(
        "ops", self.ops,
        {.doc = "fused: own kernels, whose bits do not depend on threads or telemetry; plain: the same from "
                "elementary tensor operations, their specification."});
    visit("device", self.device, {.doc = "cpu; cuda is refused by this version."});
    visit("threads", self.threads,
          {.doc = "Threads of one trainer. With ops = fused no bit of the results depends on the count; with "
                  "plain the last bits may. Sweeps run one single-threaded cell per core.",
           .min = 1,
           .max = 1024});
    visit("eval_every", self.eval_every,
          {.doc = "Validation loss this often, besides the first and last step. auto: 25%; 0 is off."});
    visit("checkpoint_every", self.checkpoint_every,
          {.doc = "Checkpoint this often, besides the last step. auto: 25%; 0 is off."});
    visit("keep_checkpoints", self.keep_checkpoints,
          {.doc = "How many of the newest checkpoints are kept.", .min = 1, .max = 1e9});
    visit("initial_weights", self.initial_weights,
          {.doc = "Content hash of the weights that the run begins with in place of drawn ones; "
                  "`evenkeel import` sets it."});
  }
};

struct TelemetrySpec {
  bool on = true;
  std::int64_t metrics_every = 1;
  std::int64_t heads_every = 10;
  std::int64_t spectra_every = 50;
  std::int64_t probe_every = 0;
  std::int64_t sharpness_every = 0;

  static void fields(auto& self, auto&& visit) {
    visit(
        "on", self.on,
        {.doc =
             "Record what happens inside (attention, gradients, updates). Changes no bit of the training."});
    visit("metrics_every", self.metrics_every, {.doc = "Steps between lines of metrics.jsonl.", .min = 1});
    visit("heads_every", self.heads_every,
          {.doc = "Steps between per-head and per-tensor records in heads.jsonl.", .min = 1});
    visit("spectra_every", self.spectra_every,
          {.doc = "Steps between spectral norms in heads.jsonl: of every matrix, of every head's W_Q W_K^T, "
                  "and the "
                  "slack of the entropy bound; 0 is off.",
           .min = 0});
    visit(
        "probe_every", self.probe_every,
        {.doc =
             "Steps between looks at the probe batch: 16 sequences of the validation text, the same tokens "
             "for "
             "every size, seed, batch and step, so that logits of different runs can be compared; 0 is off.",
         .min = 0,
         .sparse = true});
    visit(
        "sharpness_every", self.sharpness_every,
        {.doc =
             "Steps between measurements of sharpness, on 8 sequences of the probe batch: up to 80 products "
             "with the Hessian each, so many times the cost of a step; 0 is off.",
         .source = "arXiv 2103.00065, 2207.14484",
         .min = 0,
         .sparse = true});
  }
};

}  // namespace evenkeel
