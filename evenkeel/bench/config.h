// What `evenkeel bench` is asked to measure: the model sizes it knows and its options.
#pragma once

#include <string>
#include <vector>

#include "evenkeel/config/settings.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::bench {

/// A model size, and how much of it fills a few seconds.
struct Config {
  std::string name;
  std::int64_t layers, width, heads, context;
  std::int64_t batch;  ///< sequences; of sentence pairs tokens, as data.batch_tokens
  std::int64_t vocab;
  int warm;    ///< untimed steps that begin every round
  int steps;   ///< timed steps of a round
  int pairs;   ///< of steps with and without telemetry; 0: measured only when asked for
  bool small;  ///< bits, processes and start are measured without being asked for
  Family family = Family::kDecoderLm;
  std::int64_t ffn_width = 4 * width;
  bool collapsed = false;  ///< for what denormals cost: by default nothing else is measured
};

/// Language models: tiny (one sequence of S), S, M, L. Translation: mt_tiny, mt_base. For collapsed
/// attention: collapsed.
const std::vector<Config>& configs();
/// Throws InputError for a name that is not there.
const Config& find_config(const std::string& name);

/// What can be measured: throughput, telemetry, spectra, treatment, memory, processes, threads, start,
/// loaded, collapsed, denormals.
const std::vector<std::string>& measurements();

struct Options {
  std::vector<std::string> configs{"S", "M", "L"};
  std::vector<std::string> only;  ///< measurements; empty: all that the config has by default
  std::vector<std::string> peers{"torch"};
  /// Settings, joined by commas, that are each timed against the model without them. Empty: none, unless
  /// treatments are asked for in `only`.
  std::vector<std::string> treatments;
  std::string peer_python;  ///< empty: python3, then /usr/bin/python3
  int rounds = 5;
  int threads = 2;
  int steps = 0, pairs = 0;  ///< 0: the config's own
  Precision precision = Precision::kAuto;
  OpPath ops = OpPath::kFused;
  /// Of all contestants. Empty: gelu_erf, because PyTorch 1.13 computes gelu_tanh in scalar code on CPUs;
  /// relu for translation.
  std::string activation;

  bool asks_for(const std::string& measurement) const;
};

/// The settings of "interventions.qk_norm=per_head,interventions.z_loss=0". Throws InputError.
Settings treatment_settings(const std::string& text);

/// The config as a resolved experiment: AdamW, clip 1, constant learning rate; language models z-loss 1e-4,
/// translation dropout 0.3 and label smoothing 0.1; and `treatment` over it. Throws InputError for bf16 where
/// the processor has none.
Experiment experiment_of(const Config& config, const Options& options, const Settings& treatment = {});

}  // namespace evenkeel::bench
