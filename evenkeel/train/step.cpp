#include "evenkeel/train/step.h"

#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "evenkeel/interventions/mu_param.h"
#include "evenkeel/kernels/parallel.h"
#include "evenkeel/ops/cross_entropy.h"
#include "evenkeel/telemetry/detectors.h"
#include "evenkeel/telemetry/metric_table.h"

namespace evenkeel::train {
namespace {

const double kLargestGradient = std::sqrt(static_cast<double>(std::numeric_limits<float>::max()));

/// Carries what modules measure to the recorder, and keeps the entropies for the collapse detector.
class RecorderSink : public nn::StatSink {
 public:
  explicit RecorderSink(telemetry::Recorder& recorder) : recorder_(recorder) {}

  void heads(std::string_view key, std::vector<double> values) override {
    recorder_.heads(std::string(key), std::span<const double>(values));
    if (key.ends_with("/entropy_norm")) entropy_norm_.push_back(std::move(values));
  }
  void scalar(std::string_view key, double value) override { recorder_.scalar(std::string(key), value); }
  /// In the order in which the attentions act.
  std::vector<std::vector<double>> take_entropy_norm() { return std::move(entropy_norm_); }

 private:
  telemetry::Recorder& recorder_;
  std::vector<std::vector<double>> entropy_norm_;
};

/// RMS of every block's gradient, before and after clipping.
void record_blocks(const std::vector<nn::Param*>& params, const std::vector<optim::UpdateStats>& stats,
                   const std::vector<double>& norms, telemetry::Recorder& recorder) {
  struct Sums {
    double values = 0, before = 0, after = 0;
  };
  std::map<std::string, Sums> blocks;
  for (std::size_t i = 0; i < params.size(); ++i) {
    const std::string layer = telemetry::layer_of(params[i]->name);
    if (layer.empty()) continue;
    const auto n = static_cast<double>(params[i]->value.numel());
    Sums& sums = blocks[layer];
    sums.values += n;
    sums.before += norms[i] * norms[i];
    sums.after += n * stats[i].grad_rms * stats[i].grad_rms;
  }
  for (const auto& [layer, sums] : blocks) {
    recorder.scalar("block/" + layer + "/grad_rms", std::sqrt(sums.before / sums.values));
    recorder.scalar("block/" + layer + "/grad_rms_clipped", std::sqrt(sums.after / sums.values));
  }
}

/// Share of heads below the collapse detector's threshold; nullopt without any.
std::optional<double> collapsed_share(const std::vector<std::vector<double>>& entropy_norm) {
  double heads = 0, collapsed = 0;
  for (const std::vector<double>& layer : entropy_norm)
    for (const double norm : layer) {
      ++heads;
      collapsed += norm < telemetry::CollapseDetector::kThreshold ? 1 : 0;
    }
  if (heads == 0) return std::nullopt;
  return collapsed / heads;
}

}  // namespace

double eps_of(const Experiment& e, std::int64_t update) {
  return e.optim.eps * interventions::mu_param_eps(e) * changes_of(e).at(update).eps_factor;
}

Step::Step(const Experiment& experiment, models::Model& model, optim::Optimiser& optimiser,
           telemetry::Recorder& recorder, const at::Tensor& occurring)
    : e_(experiment),
      model_(model),
      optimiser_(optimiser),
      schedule_(experiment),
      guard_(experiment.optim),
      recorder_(recorder),
      occurs_(at::zeros({*experiment.data.vocab}, at::kBool)) {
  occurs_.index_fill_(0, occurring, true);
  model.visit([&](nn::Module& module) { modules_.push_back(&module); });
}

StepResult Step::make(std::int64_t step, const DeviceBatch& batch, Detail detail) {
  recorder_.begin(step, step * e_.tokens_per_step());
  RecorderSink sink(recorder_);
  nn::Context context = pass_context(e_, step);
  context.training = true;
  context.seed = static_cast<std::uint64_t>(e_.train.seed);
  context.step = step - 1;
  context.stats = detail == Detail::kFull ? &sink : nullptr;

  optimiser_.zero_grad();
  const at::Tensor logits = model_.forward(batch, context);
  const ops::Loss loss =
      model_.loss(logits, batch, model_.objective, context, detail == Detail::kNone ? at::Tensor() : occurs_);
  loss.total.backward();
  const optim::GradientGuard::Verdict clip = guard_.judge(optimiser_.params(), loss.ce);
  const double lr = schedule_.rate(step);
  recorder_.scalar("optim/all/lr", lr);
  recorder_.scalar("loss/train/ce", loss.ce);
  recorder_.scalar("loss/train/z", loss.z);
  recorder_.scalar("grad/all/norm", clip.norm);
  recorder_.scalar("grad/all/norm_clipped", clip.clipped);
  if (clip.limit) recorder_.scalar("grad/all/norm_limit", *clip.limit);
  if (clip.clipped_tensors) recorder_.scalar("grad/all/clipped_tensors", *clip.clipped_tensors);
  if (e_.optim.skip_step > 0) recorder_.scalar("optim/all/skipped", clip.skip ? 1 : 0);
  if (detail != Detail::kNone) {
    recorder_.scalar("logits/out/mean", loss.mean_logit);
    recorder_.scalar("logits/out/logz", loss.mean_log_z);
  }
  StepResult result;
  result.loss = loss.ce;
  result.entropy_norm = sink.take_entropy_norm();
  if (const auto share = collapsed_share(result.entropy_norm)) recorder_.scalar("attn/all/collapsed", *share);
  // The square of such a gradient overflows the second moment, which would freeze its parameter in silence.
  const bool overflows = !clip.skip && clip.clipped > kLargestGradient;
  const double gradient = overflows ? std::numeric_limits<double>::infinity() : clip.norm;
  result.nonfinite = telemetry::nonfinite_event(step, loss.ce, gradient);
  optimiser_.set_eps(eps_of(e_, step));
  if (result.nonfinite) return result;
  if (clip.skip)
    result.skipped = Json{{"step", step}, {"kind", "step_skipped"}, {"loss", loss.ce}, {"norm", clip.norm}};
  else update(lr, clip, detail == Detail::kFull);
  return result;
}

void Step::update(double lr, const optim::ClipResult& clip, bool record) {
  std::vector<optim::UpdateStats> stats;
  optimiser_.step(lr, record ? &stats : nullptr, clip.factor);
  for (nn::Module* module : modules_) module->constrain_parameters();
  // They do not know each other, and there are dozens of small ones.
  kernels::parallel_for(std::ssize(modules_),
                        [&](std::int64_t i) { modules_[static_cast<std::size_t>(i)]->after_update(); });
  if (record) record_blocks(optimiser_.params(), stats, clip.norms, recorder_);
  for (std::size_t i = 0; i < stats.size(); ++i) {
    const std::string& name = optimiser_.params()[i]->name;
    recorder_.scalar(telemetry::tensor_key(name, "grad_rms"), stats[i].grad_rms);
    recorder_.scalar(telemetry::tensor_key(name, "param_rms"), stats[i].param_rms);
    recorder_.scalar(telemetry::tensor_key(name, "update_rms"), stats[i].update_rms);
    recorder_.scalar(telemetry::tensor_key(name, "delta_rms"), stats[i].delta_rms);
  }
}

}  // namespace evenkeel::train
