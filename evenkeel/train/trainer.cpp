#include "evenkeel/train/trainer.h"

#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <fstream>
#include <limits>
#include <memory>

#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/curvature/sharpness.h"
#include "evenkeel/data/source.h"
#include "evenkeel/kernels/isa.h"
#include "evenkeel/ops/memory.h"
#include "evenkeel/ops/threads.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/optim/schedule.h"
#include "evenkeel/runs/checkpoint.h"
#include "evenkeel/runs/manifest.h"
#include "evenkeel/runs/run_writer.h"
#include "evenkeel/telemetry/detectors.h"
#include "evenkeel/telemetry/recorder.h"
#include "evenkeel/train/admin_profile.h"
#include "evenkeel/train/build_model.h"
#include "evenkeel/train/environment.h"
#include "evenkeel/train/evaluate.h"
#include "evenkeel/train/load_run.h"
#include "evenkeel/train/op_paths.h"
#include "evenkeel/train/spectra.h"
#include "evenkeel/train/state.h"
#include "evenkeel/train/step.h"
#include "evenkeel/train/timing.h"
#include "evenkeel/train/weights_file.h"

namespace evenkeel::train {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t kSharpnessSequences = 8;
constexpr int kSharpnessIterations = 40;

at::Tensor occurring_ids(const data::Facts& facts) {
  std::vector<std::int64_t> ids;
  for (std::size_t id = 0; id < facts.occurs.size(); ++id) {
    if (facts.occurs[id]) ids.push_back(static_cast<std::int64_t>(id));
  }
  return at::tensor(ids);
}

Outcome outcome_of(const runs::Result& result) {
  return result.label == "nonfinite" ? Outcome::kNonfinite : Outcome::kFinished;
}

class Trainer {
 public:
  /// `imports`: begin_with comes next, so weights need not be there yet.
  Trainer(const runs::RunLock& lock, runs::Manifest manifest, const Options& options, bool imports = false)
      : options_(options),
        run_(lock.run()),
        manifest_(std::move(manifest)),
        e_(manifest_.experiment),
        source_(open_same_data(e_, run_)),
        loader_(source_->loader({e_.arch.context, e_.train.batch, e_.data.batch_tokens,
                                 static_cast<std::uint64_t>(e_.train.seed)})),
        model_(build_model(e_)),
        parameters_(model_->parameters()),
        optimiser_(optim::make_optimiser(parameters_, e_.optim)),
        schedule_(e_),
        spectra_(*model_),
        make_step_(e_, *model_, *optimiser_, recorder_, occurring_ids(source_->facts())),
        tokens_per_step_(e_.tokens_per_step()),
        writer_(open(lock, imports)),
        timer_(writer_, tokens_per_step_) {}

  void begin_with(const fs::path& file) {
    if (step_ > 0 || !runs::list_checkpoints(run_).empty()) {
      throw InputError(fmt::format("{} has begun already; choose another --out", run_.string()));
    }
    const std::string hash = file_hash(file);
    if (hash != e_.train.initial_weights)
      throw InputError(fmt::format("{} changed while it was imported; import it again", file.string()));
    require_same_function(file, e_.interventions);
    import_weights(file, *model_);
    writer_.event({{"step", 0}, {"kind", "weights_imported"}, {"hash", hash}});
    checkpoint();
  }

  Outcome train() {
    timer_.session(step_ > 0 ? "resume" : "start", step_, manifest_.environment);
    if (begins_)
      for (const std::string& sentence : cautions(e_)) options_.warn(sentence);
    if (begins_) profile();
    if (step_ == 0) record_initial_loss();
    while (step_ < e_.train.steps) {
      if (!one_step()) return finish();
      const bool stop = options_.stop_requested();
      if (is_scheduled(step_) || stop) checkpoint();
      if (stop && step_ < e_.train.steps) {
        timer_.session("interrupted", step_);
        return Outcome::kInterrupted;
      }
    }
    return finish();
  }

 private:
  runs::RunWriter open(const runs::RunLock& lock, bool imports) {
    std::vector<std::string> warnings;
    const auto found = runs::find_resumable(lock, warnings);
    for (const std::string& sentence : warnings) options_.warn(sentence);
    manifest_.environment = environment(manifest_.environment);
    manifest_.environment["ops"] = op_paths(*model_, e_.train, optimiser_->op_uses());
    if (!found && e_.train.initial_weights && !imports) {
      throw InputError(
          fmt::format("{} is to begin with imported weights ({}), and no whole checkpoint holds them; import "
                      "them again into another --out",
                      run_.string(), *e_.train.initial_weights));
    }
    begins_ = !found;
    if (begins_) return runs::RunWriter::start(lock, manifest_);
    if (found->state.config_hash != manifest_.config_hash) {
      throw InputError(
          fmt::format("{} belongs to configuration {}, the manifest says {}; delete the checkpoint or use "
                      "another --out",
                      found->folder.string(), found->state.config_hash, manifest_.config_hash));
    }
    load_state(found->folder, *model_, *optimiser_);
    if (records_spectra()) load_telemetry(found->folder, spectra_.state());
    step_ = found->state.step;
    const Json& t = found->state.trainer;
    optimiser_->set_steps(updates_of(found->state));
    make_step_.guard().load(t.value("guard", Json::object()));
    spikes_ = telemetry::SpikeDetector::from_state(found->state.detectors.at("spike"));
    collapse_ = telemetry::CollapseDetector::from_state(found->state.detectors.at("collapse"));
    l0_ = number_from_json(t.at("l0"), "state.json trainer.l0");
    // Checkpoints of earlier versions know no relapses: the watch begins where the run goes on.
    const Json& detectors = found->state.detectors;
    relapse_ = detectors.contains("relapse") ? telemetry::RelapseDetector::from_state(detectors.at("relapse"))
                                             : telemetry::RelapseDetector(l0_);
    last_valid_ = number_from_json(t.at("last_valid"), "state.json trainer.last_valid");
    for (const Json& x : t.at("tail_losses"))
      tail_losses_.push_back(number_from_json(x, "state.json tail_losses"));
    return runs::RunWriter::resume(lock, found->state);
  }

  bool is_due(const std::optional<Duration>& every, std::int64_t step) const {
    const std::int64_t n = every->steps(e_.train.steps, tokens_per_step_);
    return n > 0 && step % n == 0;
  }

  /// Of schemes that start from a measurement; what it found is saved with the model.
  void profile() {
    const auto found = profile_if_asked(e_, *model_, to_device(loader_->train_batch(0)));
    if (!found) return;
    Json event{{"step", 0}, {"kind", "admin_profile"}};
    event.update(to_json(*found));
    writer_.event(event);
  }

  double validate() {
    last_valid_ = validation_loss(*model_, *loader_, e_.data.valid_tokens, pass_context(e_, step_));
    return last_valid_;
  }

  void record_initial_loss() {
    l0_ = validate();
    relapse_ = telemetry::RelapseDetector(l0_);
    recorder_.begin(0, 0);
    recorder_.scalar("loss/valid/ce", l0_);
    writer_.metrics(recorder_.metrics_record());
  }

  /// Makes step_ + 1; false when it became non-finite.
  bool one_step() {
    const std::int64_t step = step_ + 1;
    const bool last = step == e_.train.steps;
    const TelemetrySpec& t = e_.telemetry;
    const auto is_recorded = [&](std::int64_t every) { return step == 1 || last || step % every == 0; };
    const bool record_heads = t.on && is_recorded(t.heads_every);
    const bool record_spectra = records_spectra() && is_recorded(t.spectra_every);
    const Detail detail = record_heads ? Detail::kFull : t.on ? Detail::kLogits : Detail::kNone;
    timer_.step_begins();
    const DeviceBatch batch = to_device(loader_->train_batch(step_));
    std::optional<WeightSpectra> spectra;
    if (record_spectra) spectra = weight_spectra(batch);
    const StepResult result = make_step_.make(step, batch, detail);
    std::vector<Json> violations;
    if (spectra) {
      record(spectra->weights, recorder_);
      violations = record(spectra->entropy, step, recorder_);
      if (!result.nonfinite && !result.skipped)
        record(spectra_.updates(directions(*optimiser_, spectra_)), recorder_);
    }
    if (result.nonfinite) {
      nonfinite_step_ = step;
      write_records(record_heads || record_spectra);
      // Rows that are not finite break no bound that could be checked; this event says what happened.
      writer_.event(*result.nonfinite);
      return false;
    }
    step_ = step;
    timer_.step_ends(step, last);
    keep_tail(result.loss);
    if (last || is_due(e_.train.eval_every, step)) recorder_.scalar("loss/valid/ce", validate());
    const bool look = t.on && t.probe_every > 0 && is_recorded(t.probe_every);
    const bool measure = t.on && t.sharpness_every > 0 && is_recorded(t.sharpness_every);
    if (measure) record_sharpness(step);
    if (look) record_probe(*model_, probe(), pass_context(e_, step), recorder_);
    if (last || step % t.metrics_every == 0 || recorder_.metrics_record().contains("loss/valid/ce") ||
        step == 1) {
      writer_.metrics(recorder_.metrics_record());
    }
    if (record_heads || record_spectra || look || measure) {
      if (const auto heads = recorder_.heads_record()) writer_.heads(*heads);
    }
    record_change(step);
    for (const Json& event : violations) writer_.event(event);
    if (result.skipped) writer_.event(*result.skipped);
    if (const auto event = spikes_.update(step, result.loss)) writer_.event(*event);
    if (const auto event = relapse_.train_loss(step, result.loss)) writer_.event(*event);
    if (recorder_.metrics_record().contains("loss/valid/ce")) {
      if (const auto event = relapse_.valid_loss(step, last_valid_)) writer_.event(*event);
    }
    if (record_heads) {
      for (const Json& event : collapse_.update(step, result.entropy_norm)) writer_.event(event);
    }
    return true;
  }

  bool records_spectra() const { return e_.telemetry.on && e_.telemetry.spectra_every > 0; }

  struct WeightSpectra {
    Spectrum weights;
    std::vector<EntropyChecks> entropy;
  };
  /// Before the update, like everything a record says of the weights.
  WeightSpectra weight_spectra(const DeviceBatch& batch) {
    nn::Context context = pass_context(e_, step_ + 1);
    context.step = step_;
    return {spectra_.measure(context), check_entropy(*model_, batch, 0, context)};
  }

  const models::Batch& probe() {
    if (!probe_) probe_ = probe_batch(*source_, e_);
    return *probe_;
  }

  void record_sharpness(std::int64_t step) {
    const models::Batch batch = probe().first(kSharpnessSequences);
    nn::Context context = pass_context(e_, step);
    context.precision = Precision::kFp32;
    context.ops = OpPath::kPlain;
    const curvature::Sharpness found =
        curvature::sharpness_of(*model_, batch, context, *optimiser_, e_.optim, kSharpnessIterations);
    recorder_.scalar("curvature/all/sharpness", found.hessian.value);
    double residual = found.hessian.residual;
    if (found.preconditioned) {
      recorder_.scalar("curvature/all/sharpness_preconditioned", found.preconditioned->value);
      residual = std::max(residual, found.preconditioned->residual);
    }
    recorder_.scalar("curvature/all/residual", residual);
    if (const auto edge = curvature::stability_edge(e_.optim)) {
      const curvature::TopEigenvalue& own = found.preconditioned ? *found.preconditioned : found.hessian;
      if (found.preconditioned || !edge->preconditioned)
        recorder_.scalar("curvature/all/edge_ratio", own.value * schedule_.rate(step) / edge->factor);
    }
  }

  /// The events of [change], with the first update it holds for and the first it no longer does.
  void record_change(std::int64_t step) {
    const Changes changes = changes_of(e_);
    if (!changes.any() || (step != changes.first && step != changes.last + 1)) return;
    const bool begins = step == changes.first;
    const auto event = [&](const char* what, const Json& before, const Json& value) {
      writer_.event({{"step", step},
                     {"kind", "change"},
                     {"what", what},
                     {"from", begins ? before : value},
                     {"value", begins ? value : before}});
    };
    const ChangeSpec& c = changes.settings;
    if (c.attention_temperature != 1) event("attention_temperature", 1.0, c.attention_temperature);
    if (c.lr_factor != 1) event("lr_factor", 1.0, c.lr_factor);
    if (c.eps_factor != 1) event("eps_factor", 1.0, c.eps_factor);
    if (c.end_warmup) event("end_warmup", false, true);
  }

  void write_records(bool heads) {
    writer_.metrics(recorder_.metrics_record());
    if (const auto record = recorder_.heads_record(); heads && record) writer_.heads(*record);
  }

  /// The losses of the last 10 % of the steps, which train_loss averages.
  void keep_tail(double loss) {
    if (step_ > e_.train.steps - std::max<std::int64_t>(1, e_.train.steps / 10)) tail_losses_.push_back(loss);
  }

  void checkpoint() {
    writer_.sync();
    runs::CheckpointState state;
    state.step = step_;
    state.cursor = step_ * e_.train.batch;
    state.config_hash = manifest_.config_hash;
    state.seed = e_.train.seed;
    state.schedule = {{"lr", step_ > 0 ? schedule_.rate(step_) : 0}};
    state.offsets = writer_.offsets();
    state.detectors = {
        {"spike", spikes_.state()}, {"relapse", relapse_.state()}, {"collapse", collapse_.state()}};
    Json tail = Json::array();
    for (const double x : tail_losses_) tail.push_back(x);
    state.trainer = {{"l0", l0_},
                     {"last_valid", last_valid_},
                     {"tail_losses", tail},
                     {"updates", optimiser_->steps()},
                     {"guard", make_step_.guard().state()}};
    std::vector<runs::TensorBytes> telemetry;
    if (records_spectra()) telemetry = tensor_bytes(spectra_.state());
    runs::write_checkpoint(run_, state, model_bytes(*model_), optim_bytes(*optimiser_), std::move(telemetry));
    remove_interim_checkpoints(step_);
    // What an interruption saves comes on top of the scheduled ones: the run may still end before the next of
    // them.
    runs::prune_checkpoints(run_, e_.train.keep_checkpoints + (is_scheduled(step_) ? 0 : 1));
  }

  bool is_scheduled(std::int64_t step) const {
    return step == e_.train.steps || is_due(e_.train.checkpoint_every, step);
  }

  /// Checkpoints an interruption left between scheduled ones: gone once a newer one is there, so that an
  /// interrupted run ends with the same files as an uninterrupted one.
  void remove_interim_checkpoints(std::int64_t before) const {
    for (const fs::path& folder : runs::list_checkpoints(run_)) {
      const std::int64_t step = std::stoll(folder.filename().string().substr(4));
      if (step < before && !is_scheduled(step)) fs::remove_all(folder);
    }
  }

  Outcome finish() {
    remove_interim_checkpoints(step_ + 1);
    runs::prune_checkpoints(run_, e_.train.keep_checkpoints);
    runs::Result result;
    result.label = runs::label_of(nonfinite_step_, last_valid_, manifest_.data.h1);
    result.steps = step_;
    result.seen_tokens = step_ * tokens_per_step_;
    result.final_loss = result.label == "nonfinite" ? kNan : last_valid_;
    double sum = 0;
    for (const double x : tail_losses_) sum += x;
    result.train_loss = tail_losses_.empty() ? kNan : sum / static_cast<double>(tail_losses_.size());
    result.l0 = l0_;
    result.nonfinite_step = nonfinite_step_;
    result.relapse_step = relapse_.since();
    result.relapsed = result.relapse_step.has_value();
    timer_.session("end", step_);
    writer_.finish(result);
    return outcome_of(result);
  }

  const Options& options_;
  fs::path run_;
  runs::Manifest manifest_;
  const Experiment& e_;
  std::unique_ptr<data::Source> source_;
  std::unique_ptr<data::Loader> loader_;
  std::unique_ptr<models::Model> model_;
  std::vector<nn::Param*> parameters_;
  std::unique_ptr<optim::Optimiser> optimiser_;
  optim::Schedule schedule_;
  telemetry::Recorder recorder_;
  Spectra spectra_;
  Step make_step_;
  std::int64_t tokens_per_step_;
  std::optional<models::Batch> probe_;
  telemetry::SpikeDetector spikes_;
  telemetry::RelapseDetector relapse_;
  telemetry::CollapseDetector collapse_;
  std::int64_t step_ = 0;
  bool begins_ = false;  ///< there was no checkpoint
  double l0_ = kNan, last_valid_ = kNan;
  std::deque<double> tail_losses_;
  std::optional<std::int64_t> nonfinite_step_;
  runs::RunWriter writer_;  // after what open() fills in from a checkpoint
  StepTimer timer_;
};

void check_trainable(const fs::path& run, const runs::Manifest& manifest) {
  kernels::check_isa_setting();
  if (manifest.imported) {
    throw InputError(fmt::format("{} was imported from {} and cannot be trained; only its numbers are known",
                                 run.string(), manifest.imported->source));
  }
  if (manifest.experiment.train.precision == Precision::kBf16) require_bf16(machine_has_fast_bf16());
}

/// Before the first tensor.
void configure(const runs::Manifest& manifest) {
  ops::keep_freed_memory();
  ops::set_threads(static_cast<int>(manifest.experiment.train.threads));
}

}  // namespace

Outcome run(const fs::path& run_directory, const Options& options) {
  runs::Manifest manifest = runs::read_manifest(run_directory);
  if (const auto result = runs::read_result(run_directory)) return outcome_of(*result);
  check_trainable(run_directory, manifest);
  const runs::RunLock lock(run_directory);
  configure(manifest);
  return Trainer(lock, std::move(manifest), options).train();
}

void begin_with_weights(const fs::path& run_directory, const fs::path& file, const Options& options) {
  runs::Manifest manifest = runs::read_manifest(run_directory);
  if (runs::read_result(run_directory))
    throw InputError(fmt::format("{} has ended already; choose another --out", run_directory.string()));
  check_trainable(run_directory, manifest);
  const runs::RunLock lock(run_directory);
  configure(manifest);
  Trainer(lock, std::move(manifest), options, true).begin_with(file);
}

}  // namespace evenkeel::train
