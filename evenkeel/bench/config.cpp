#include "evenkeel/bench/config.h"

#include <fmt/format.h>

#include <algorithm>

#include "evenkeel/base/error.h"
#include "evenkeel/spec/family.h"

namespace evenkeel::bench {

const std::vector<Config>& configs() {
  static const std::vector<Config> all{
      // name, L, D, H, T, B, V, warm, steps, pairs, small
      {"tiny", 3, 128, 4, 64, 1, 512, 10, 200, 400, true},
      {"S", 3, 128, 4, 256, 16, 512, 3, 20, 200, true},
      {"M", 6, 256, 8, 256, 16, 4096, 2, 8, 60, false},
      {"L", 8, 512, 8, 512, 8, 8192, 1, 4, 0, false},
      // Rounds of sentence pairs are whole turns of the batches, each of which is taken twice.
      {"mt_tiny", 4, 128, 4, 64, 4096, 8000, 8, 16, 60, false, Family::kSeq2Seq, 256},
      {"mt_base", 3, 256, 4, 64, 4096, 8000, 8, 8, 40, false, Family::kSeq2Seq},
      {"collapsed", 3, 64, 4, 256, 16, 512, 3, 20, 40, false, Family::kDecoderLm, 256, true},
  };
  return all;
}

const Config& find_config(const std::string& name) {
  std::string known;
  for (const Config& config : configs()) {
    if (config.name == name) return config;
    known += (known.empty() ? "" : ", ") + config.name;
  }
  throw InputError(fmt::format("--config must name some of {}, got \"{}\"", known, name));
}

const std::vector<std::string>& measurements() {
  static const std::vector<std::string> all{"throughput", "telemetry", "spectra",  "treatment",
                                            "memory",     "processes", "threads",  "start",
                                            "loaded",     "collapsed", "denormals"};
  return all;
}

bool Options::asks_for(const std::string& measurement) const {
  return std::find(only.begin(), only.end(), measurement) != only.end();
}

Settings treatment_settings(const std::string& text) {
  Settings settings;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find(',', start), text.size());
    settings.insert(parse_assignment(text.substr(start, end - start), "--treat"));
    start = end + 1;
  }
  return settings;
}

Experiment experiment_of(const Config& config, const Options& options, const Settings& treatment) {
  const FamilyRow& family = family_row(config.family);
  const bool translates = family.reads == DataForm::kPairs;
  const std::string activation = !options.activation.empty() ? options.activation
                                 : translates                ? "relu"
                                                             : "gelu_erf";
  Json document{
      {"arch",
       {{"family", std::string(enum_name(config.family))},
        {"width", config.width},
        {"depth", config.layers},
        {"heads", config.heads},
        {"ffn_width", config.ffn_width},
        {"activation", activation},
        {"context", config.context}}},
      {"data", {{"vocab", config.vocab}}},
      {"optim",
       {{"lr", 3e-4},
        {"lr_floor", 3e-4},
        {"warmup", "0step"},
        {"decay_form", "coupled"},
        {"weight_decay", 0.1},
        {"clip_norm", 1.0}}},
      {"train",
       {{"precision", std::string(enum_name(options.precision))},
        {"ops", std::string(enum_name(options.ops))},
        {"threads", options.threads}}},
  };
  if (translates) {
    document["arch"]["dropout"] = 0.3;
    document["data"]["batch_tokens"] = config.batch;
    document["train"]["label_smoothing"] = 0.1;
  } else {
    document["interventions"]["z_loss"] = 1e-4;
    document["train"]["batch"] = config.batch;
  }
  Settings settings = settings_from_json(document, "bench");
  for (const auto& [path, setting] : treatment) settings[path] = setting;
  Experiment experiment = experiment_from(settings);
  resolve(experiment, {family.built_in, config.vocab, "random tokens"}, machine_has_fast_bf16());
  return experiment;
}

}  // namespace evenkeel::bench
