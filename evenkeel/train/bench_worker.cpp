#include "evenkeel/train/bench_worker.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/version.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/base/rng.h"
#include "evenkeel/base/version.h"
#include "evenkeel/kernels/adamw.h"
#include "evenkeel/kernels/denormals.h"
#include "evenkeel/kernels/isa.h"
#include "evenkeel/kernels/matmul.h"
#include "evenkeel/ops/memory.h"
#include "evenkeel/ops/threads.h"
#include "evenkeel/runs/safetensors.h"
#include "evenkeel/train/build_model.h"
#include "evenkeel/train/spectra.h"
#include "evenkeel/train/state.h"
#include "evenkeel/train/step.h"

namespace evenkeel::train {
namespace {

/// A line of /proc/self/status such as VmHWM, in bytes; 0 where there is none.
std::int64_t process_bytes(const std::string& key) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.rfind(key + ":", 0) == 0) return std::stoll(line.substr(key.size() + 1)) * 1024;
  return 0;
}

using Batches = std::vector<DeviceBatch>;

Batches batches_from_json(const Json& all) {
  Batches batches;
  for (const Json& one : all) {
    data::HostBatch batch;
    batch.rows = one.at("rows").get<std::int64_t>();
    one.at("inputs").get_to(batch.inputs);
    one.at("targets").get_to(batch.targets);
    batch.cols = std::ssize(batch.inputs) / batch.rows;
    if (one.contains("sources")) {
      one.at("sources").get_to(batch.sources);
      one.at("source_lengths").get_to(batch.source_lengths);
      one.at("lengths").get_to(batch.lengths);
      batch.source_cols = std::ssize(batch.sources) / batch.rows;
    }
    batches.push_back(to_device(batch));
  }
  return batches;
}

/// An experiment that makes steps on the batches in turn, two on each, so that the steps of a pair have the
/// same.
class Session {
 public:
  Session(Experiment experiment, Batches batches)
      : e_(std::move(experiment)),
        model_(build_model(e_)),
        optimiser_(optim::make_optimiser(model_->parameters(), e_.optim)),
        spectra_(*model_),
        step_(e_, *model_, *optimiser_, recorder_, at::arange(*e_.data.vocab)),
        batches_(std::move(batches)) {}

  /// Makes one step, appends its loss to `losses` and returns its duration in seconds. `spectra`: with the
  /// spectral record, as the training loop makes it.
  double step(bool telemetry, Json& losses, bool spectra = false) {
    const DeviceBatch& batch = batches_[static_cast<std::size_t>(steps_ / 2) % batches_.size()];
    const auto begin = std::chrono::steady_clock::now();
    std::optional<Spectrum> spectrum;
    std::vector<EntropyChecks> entropy;
    if (spectra) {
      nn::Context context = pass_context(e_.train);
      context.step = steps_;
      spectrum = spectra_.measure(context);
      entropy = check_entropy(*model_, batch, 0, context);
    }
    const StepResult result = step_.make(++steps_, batch, telemetry ? Detail::kFull : Detail::kNone);
    if (spectrum) {
      record(*spectrum, recorder_);
      record(entropy, steps_, recorder_);
      if (!result.nonfinite) record(spectra_.updates(directions(*optimiser_, spectra_)), recorder_);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    if (result.nonfinite) throw std::runtime_error(fmt::format("step {} became non-finite", steps_));
    losses.push_back(result.loss);
    entropy_norm_ = result.entropy_norm;
    return took.count();
  }
  /// Loss of the first batch in evaluation.
  double loss() const {
    const c10::AutoGradMode no_grad(false);
    const nn::Context context = pass_context(e_.train);
    return model_->loss(model_->forward(batches_[0], context), batches_[0], model_->objective, context).ce;
  }
  /// Multiplies the attention logits of heads 0, 1, 2, 3 by 32, 128, 512, 2048, and so on in turn: they reach
  /// thousands, and a row's weights are one near 1 and others of any size down to zero, denormals among them.
  void collapse() {
    for (const nn::Param* param : parameters()) {
      if (!param->name.ends_with(".q.weight") && !param->name.ends_with(".k.weight")) continue;
      const at::Tensor heads = param->value.data().view({*e_.arch.heads, -1});
      for (std::int64_t h = 0; h < *e_.arch.heads; ++h)
        heads[h].mul_(std::sqrt(32 * std::pow(4, static_cast<double>(h % 4))));
    }
  }
  /// Normalised entropy of attention in the last step, mean over layers and heads; telemetry must be on.
  double entropy_norm() const {
    double sum = 0, count = 0;
    for (const std::vector<double>& layer : entropy_norm_)
      for (const double head : layer) sum += head, ++count;
    return sum / count;
  }
  const Experiment& experiment() const { return e_; }
  const Batches& batches() const { return batches_; }
  const std::vector<nn::Param*>& parameters() const { return optimiser_->params(); }
  models::Model& model() { return *model_; }
  std::int64_t count() { return model_->count(); }

 private:
  Experiment e_;
  std::unique_ptr<models::Model> model_;
  std::unique_ptr<optim::Optimiser> optimiser_;
  telemetry::Recorder recorder_;
  Spectra spectra_;
  Step step_;
  Batches batches_;
  std::vector<std::vector<double>> entropy_norm_;
  std::int64_t steps_ = 0;
};

Json steps(Session& session, const Json& request) {
  const bool telemetry = request.value("telemetry", true);
  Json losses = Json::array(), step_s = Json::array();
  for (int i = request.value("warm", 0); i > 0; --i) session.step(telemetry, losses);
  for (int i = request.value("steps", 0); i > 0; --i) step_s.push_back(session.step(telemetry, losses));
  return {{"step_s", step_s}, {"losses", losses}};
}

/// Pairs of one step with and one without telemetry, in an order drawn for each pair: whatever disturbs the
/// machine for longer than a step falls on both alike.
Json pairs(Session& session, const Json& request) {
  Rng order(1, "bench/pairs");
  Json losses = Json::array(), on = Json::array(), off = Json::array();
  for (int i = request.value("warm", 0); i > 0; --i) session.step(i % 2 == 0, losses);
  for (int i = request.value("pairs", 0); i > 0; --i) {
    const bool on_first = order.below(2) == 0;
    for (const bool telemetry : {on_first, !on_first})
      (telemetry ? on : off).push_back(session.step(telemetry, losses));
  }
  return {{"on_s", on}, {"off_s", off}, {"losses", losses}};
}

/// Pairs of one step with and one without the spectral record, all other telemetry on both, in an order drawn
/// for each pair. `every` steps lie from record to record, because the iterations start from the vectors of
/// the last one.
Json spectra_pairs(Session& session, const Json& request) {
  Rng order(1, "bench/pairs");
  Json losses = Json::array(), on = Json::array(), off = Json::array();
  const int between = std::max(0, request.value("every", 2) - 2);
  for (int i = request.value("warm", 0); i > 0; --i) session.step(true, losses);
  session.step(true, losses, true);
  session.step(true, losses);  // so that a pair begins with the first step on a batch
  for (int i = request.value("pairs", 0); i > 0; --i) {
    for (int step = 0; step < between; ++step) session.step(true, losses);
    const bool on_first = order.below(2) == 0;
    for (const bool spectra : {on_first, !on_first})
      (spectra ? on : off).push_back(session.step(true, losses, spectra));
  }
  return {{"on_s", on}, {"off_s", off}, {"losses", losses}};
}

/// Pairs of one step of each of two models, in an order drawn for each pair, with all telemetry on both.
Json treatment(Session& baseline, const Json& request) {
  Session treated(experiment_from_json(request.at("treated"), "bench request"), baseline.batches());
  Rng order(1, "bench/pairs");
  Json ignored = Json::array(), with = Json::array(), without = Json::array();
  for (int i = request.value("warm", 0); i > 0; --i) {
    baseline.step(true, ignored);
    treated.step(true, ignored);
  }
  for (int i = request.value("pairs", 0); i > 0; --i) {
    const bool treated_first = order.below(2) == 0;
    for (const bool is_treated : {treated_first, !treated_first})
      (is_treated ? with : without).push_back((is_treated ? treated : baseline).step(true, ignored));
  }
  return {{"treated_s", with}, {"baseline_s", without}};
}

/// Pairs of one step of the model and one of the same model whose attention has collapsed, in an order drawn
/// for each pair, with all telemetry on both.
Json collapsed(Session& healthy, const Json& request) {
  Session sick(healthy.experiment(), healthy.batches());
  sick.collapse();
  Rng order(1, "bench/pairs");
  Json losses = Json::array(), ignored = Json::array(), with = Json::array(), without = Json::array();
  for (int i = request.value("warm", 0); i > 0; --i) {
    healthy.step(true, ignored);
    sick.step(true, losses);
  }
  for (int i = request.value("pairs", 0); i > 0; --i) {
    const bool sick_first = order.below(2) == 0;
    for (const bool is_sick : {sick_first, !sick_first})
      (is_sick ? with : without).push_back((is_sick ? sick : healthy).step(true, is_sick ? losses : ignored));
  }
  return {{"collapsed_s", with},
          {"healthy_s", without},
          {"losses", losses},
          {"entropy_norm", {{"collapsed", sick.entropy_norm()}, {"healthy", healthy.entropy_norm()}}}};
}

/// What denormals cost kernels, flushed and kept: rounds of each on numbers of a usual size and on denormals.
/// Leaves one thread and denormals flushed.
Json denormals(const Json& request) {
  ops::set_threads(1);  // the setting is made on this thread alone
  constexpr std::int64_t kRows = 1024, kWidth = 128;
  const auto fill = [](auto& values, float value) {
    for (auto& x : values) x = kernels::from_float<std::remove_reference_t<decltype(x)>>(value);
  };
  std::vector<float> x(kRows * kWidth), y(kRows * kWidth), weight(kWidth * kWidth, 0.5f);
  std::vector<kernels::bf16> x16(x.size()), y16(y.size());
  std::vector<float> param(x.size()), first(x.size()), second(x.size());
  kernels::WeightRows rows;
  for (std::int64_t i = 0; i < kWidth; ++i) rows.push_back(weight.data() + i * kWidth);
  const std::map<std::string, std::function<void(float)>> kernels{
      {"product_fp32",
       [&](float value) {
         fill(x, value);
         kernels::linear_forward(x.data(), kRows, kWidth, rows, nullptr, y.data());
       }},
      {"product_bf16",
       [&](float value) {
         fill(x16, value);
         kernels::linear_forward(x16.data(), kRows, kWidth, rows, nullptr, y16.data());
       }},
      {"adamw",
       [&](float value) {
         for (std::vector<float>* all : {&x, &first, &second}) fill(*all, value);
         kernels::adamw(param.data(), x.data(), first.data(), second.data(), kRows * kWidth, {.lr = 1e-3},
                        nullptr);
       }},
      {"libtorch_mm", [&](float value) {
         const at::Tensor left = at::full({kRows, kWidth}, value), right = at::full({kWidth, kWidth}, 0.5f);
         at::mm(left, right);
       }}};
  constexpr float kUsual = 0.5f, kDenormal = 1e-40f;
  Json answer = Json::object();
  for (const auto& [name, kernel] : kernels) {
    Json& times =
        answer[name] = {{"usual_s", Json::array()}, {"flushed_s", Json::array()}, {"kept_s", Json::array()}};
    const auto time = [&](const char* key, float value, bool flush) {
      kernels::flush_denormals(flush);
      const auto begin = std::chrono::steady_clock::now();
      kernel(value);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      kernels::flush_denormals(true);
      times[key].push_back(took.count());
    };
    kernel(kUsual);
    for (int i = request.value("rounds", 0); i > 0; --i) {
      time("usual_s", kUsual, true);
      time("flushed_s", kDenormal, true);
      time("kept_s", kDenormal, false);
    }
  }
  return answer;
}

/// Writes the weights to a safetensors file, for a peer that is the same model.
Json export_weights(Session& session, const Json& request) {
  runs::write_safetensors(request.at("weights").get<std::string>(), model_bytes(session.model()));
  return {{"loss", session.loss()}};
}

/// Hash of every weight's bits.
Json weights(Session& session) {
  std::string hashes;
  for (const runs::TensorBytes& tensor : model_bytes(session.model()))
    hashes += content_hash({tensor.data.data(), tensor.data.size()});
  return {{"hash", content_hash(hashes)}};
}

struct Comparison {
  double cosine = 1, norm_error = 0;
};

Comparison compare(const at::Tensor& measured, const at::Tensor& reference) {
  const at::Tensor a = measured.contiguous(), b = reference.contiguous();
  const float *x = a.data_ptr<float>(), *y = b.data_ptr<float>();
  double xx = 0, yy = 0, xy = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    const double u = static_cast<double>(x[i]), v = static_cast<double>(y[i]);
    xx += u * u;
    yy += v * v;
    xy += u * v;
  }
  if (xx == 0 && yy == 0) return {};
  return {xy / std::sqrt(xx * yy), std::abs(std::sqrt(xx / yy) - 1)};
}

/// Name of the vector that a parameter's gradient is compared in; empty: its own. Gradients that cancel are
/// no yardstick for rounding: that of a single number, which is one sum, and that of the biases of keys,
/// which is zero in exact numbers because softmax does not see them.
std::string compared_with(const nn::Param& param) {
  if (param.value.numel() == 1) return "the parameters of one number";
  for (const char* end : {".q.bias", ".k.bias", ".v.bias"})
    if (param.name.ends_with(end))
      return param.name.substr(0, param.name.size() - std::strlen(end)) + ".qkv.bias";
  return "";
}

/// The first step of the measured path against the plain path in fp32: loss and the gradient of every
/// parameter.
Json check(Experiment experiment, const Batches& batches) {
  experiment.optim.clip_norm = 0;  // the gradients as they were computed
  Session measured(experiment, batches);
  experiment.train.ops = OpPath::kPlain;
  experiment.train.precision = Precision::kFp32;
  Session reference(experiment, batches);
  Json loss = Json::array(), reference_loss = Json::array();
  measured.step(true, loss);
  reference.step(true, reference_loss);
  Json answer{{"loss", loss[0]},
              {"reference_loss", reference_loss[0]},
              {"tensors", measured.parameters().size()},
              {"min_cosine", 1.0},
              {"max_norm_error", 0.0}};
  // Written so that NaN is kept.
  const auto judge = [&](const std::string& name, const at::Tensor& ours, const at::Tensor& theirs) {
    const Comparison c = compare(ours, theirs);
    if (!(c.cosine >= answer["min_cosine"].get<double>())) {
      answer["min_cosine"] = c.cosine;
      answer["min_cosine_at"] = name;
    }
    if (!(c.norm_error <= answer["max_norm_error"].get<double>())) {
      answer["max_norm_error"] = c.norm_error;
      answer["max_norm_error_at"] = name;
    }
    return std::isfinite(c.cosine) && std::isfinite(c.norm_error);
  };
  std::map<std::string, std::array<std::vector<at::Tensor>, 2>> groups;
  for (std::size_t i = 0; i < measured.parameters().size(); ++i) {
    const nn::Param& param = *measured.parameters()[i];
    const at::Tensor ours = param.value.grad(), theirs = reference.parameters()[i]->value.grad();
    if (const std::string group = compared_with(param); !group.empty()) {
      groups[group][0].push_back(ours.reshape({-1}));
      groups[group][1].push_back(theirs.reshape({-1}));
    } else if (!judge(param.name, ours, theirs)) {
      return answer;
    }
  }
  for (const auto& [name, both] : groups)
    if (!judge(name, at::cat(both[0]), at::cat(both[1]))) break;
  return answer;
}

std::unique_ptr<Session> open(const Json& request, Json& answer) {
  Experiment e = experiment_from_json(request.at("experiment"), "bench request");
  Batches batches = batches_from_json(request.at("batches"));
  ops::set_threads(static_cast<int>(e.train.threads));
  answer = {{"name", "evenkeel"},
            {"version", kVersion},
            {"libtorch", TORCH_VERSION},
            {"baseline_bytes", process_bytes("VmRSS")}};
  auto session = std::make_unique<Session>(std::move(e), std::move(batches));
  answer["parameters"] = session->count();
  return session;
}

Json answer_to(const Json& request, std::unique_ptr<Session>& session) {
  if (request.contains("experiment")) {
    Json answer;
    session = open(request, answer);
    return answer;
  }
  if (!session) throw InputError("the first request must hold an experiment");
  const std::string what = request.value("do", "");
  if (what == "steps") return steps(*session, request);
  if (what == "pairs") return pairs(*session, request);
  if (what == "spectra") return spectra_pairs(*session, request);
  if (what == "treatment") return treatment(*session, request);
  if (what == "collapsed") return collapsed(*session, request);
  if (what == "denormals") return denormals(request);
  if (what == "check") return check(session->experiment(), session->batches());
  if (what == "export") return export_weights(*session, request);
  if (what == "weights") return weights(*session);
  if (what == "memory") return {{"peak_bytes", process_bytes("VmHWM")}};
  throw InputError(fmt::format("unknown request \"{}\"; docs/formats/bench.md lists them", what));
}

}  // namespace

void serve_bench(std::istream& in, std::ostream& out) {
  kernels::check_isa_setting();
  ops::keep_freed_memory();
  std::unique_ptr<Session> session;
  for (std::string line; std::getline(in, line);) {
    Json answer;
    try {
      answer = answer_to(parse_json(line, "bench request"), session);
    } catch (const std::exception& error) {
      answer = {{"error", error.what()}};
    }
    out << json_text(answer) << std::endl;
  }
}

}  // namespace evenkeel::train
