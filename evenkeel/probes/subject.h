// What a probe looks into: a model as it is after some updates, with the settings, data and optimiser that
// belong to it, read from a run or fresh from its initialisation. Nothing is written to the run.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "evenkeel/models/model.h"
#include "evenkeel/nn/context.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/spec/experiment.h"
#include "evenkeel/train/evaluate.h"

namespace evenkeel::probes {

/// How output-change moves the matrices: by a seeded random sign, or against the gradient's.
enum class MatrixChange { kRandom, kGradient };

struct Options {
  std::int64_t batch = 8;             ///< sequences
  int iterations = 40;                ///< at most, of Lanczos
  at::ScalarType type = at::kDouble;  ///< of the model and all that is computed: kDouble or kFloat
  MatrixChange change = MatrixChange::kRandom;
  std::optional<double> size;  ///< of that change per value; 1e-4 random, 1e-6 gradient
  int seeds = 1;               ///< random changes to average over; of coordinates, trainings
  std::vector<std::int64_t> widths{32, 64, 128, 256};  ///< of coordinates
  std::int64_t steps = 30;                             ///< of coordinates
};

struct Subject {
  Experiment experiment;  ///< resolved
  std::string config_hash;
  std::int64_t step = 0;                 ///< updates made
  std::unique_ptr<models::Model> model;  ///< in Options::type
  /// As after the last update. Its state is fp32, as training keeps it.
  std::unique_ptr<optim::Optimiser> optimiser;
  double lr = 0;  ///< of the last update, schedule included; before the first one, of that
  /// The first sequences of the run's training order, which its seed fixes: the same at every step of a run.
  train::DeviceBatch batch;
  /// Plain ops, no dropout, and the attention temperature of the last update.
  nn::Context context;
  std::vector<std::string> warnings;  ///< of train::load_run
};

/// The checkpoint of `step`, or the newest whole one. Throws InputError as train::load_run and
/// train::open_same_data do.
Subject load_subject(const std::filesystem::path& run, std::optional<std::int64_t> step,
                     const Options& options);

/// The model at initialisation. `experiment` resolved.
Subject initial_subject(const Experiment& experiment, const Options& options);

/// Cross-entropy plus z-loss on `batch`, nats per token: a scalar in the type of the parameters. `context`
/// with plain ops.
at::Tensor training_loss(const models::Model& model, const train::DeviceBatch& batch,
                         const nn::Context& context);

}  // namespace evenkeel::probes
