#include "evenkeel/probes/subject.h"

#include <algorithm>

#include "evenkeel/data/source.h"
#include "evenkeel/ops/cross_entropy.h"
#include "evenkeel/optim/schedule.h"
#include "evenkeel/train/admin_profile.h"
#include "evenkeel/train/build_model.h"
#include "evenkeel/train/load_run.h"

namespace evenkeel::probes {
namespace {

/// All but the model and its optimiser, whose state must be read by now: the model changes its type.
void complete(Subject& subject, const data::Source& source, const Options& options) {
  const Experiment& e = subject.experiment;
  const std::int64_t update = std::max<std::int64_t>(subject.step, 1);
  subject.lr = optim::Schedule(e).rate(update);
  const std::int64_t context = e.arch.context, tokens = options.batch * context;
  const auto loader =
      source.loader({context, options.batch, tokens, static_cast<std::uint64_t>(e.train.seed)});
  subject.batch = train::to_device(loader->train_batch(0));
  subject.context = train::pass_context(e, update);
  subject.context.precision = Precision::kFp32;
  subject.context.ops = OpPath::kPlain;
  if (options.type != at::kFloat) subject.model->convert(options.type);
  // Gradients are asked for at the inputs of sub-layers too, also behind an embedding that is not trained.
  for (nn::Param* param : subject.model->parameters()) param->value.set_requires_grad(true);
}

}  // namespace

Subject load_subject(const std::filesystem::path& run, std::optional<std::int64_t> step,
                     const Options& options) {
  train::LoadedRun loaded = train::load_run(run, step);
  Subject subject;
  subject.experiment = loaded.manifest.experiment;
  subject.config_hash = loaded.manifest.config_hash;
  subject.step = loaded.step;
  subject.warnings = std::move(loaded.warnings);
  subject.optimiser = train::load_optimiser(loaded);
  subject.model = std::move(loaded.model);
  complete(subject, *train::open_same_data(subject.experiment, run), options);
  return subject;
}

Subject initial_subject(const Experiment& experiment, const Options& options) {
  Subject subject;
  subject.experiment = experiment;
  subject.config_hash = config_hash(experiment);
  subject.model = train::build_model(experiment);
  subject.optimiser = optim::make_optimiser(subject.model->parameters(), experiment.optim);
  const auto source = data::open_source(experiment.data, experiment.arch.context);
  // What a run measures before its first step, on its own first batch.
  const auto loader =
      source->loader({experiment.arch.context, experiment.train.batch, experiment.data.batch_tokens,
                      static_cast<std::uint64_t>(experiment.train.seed)});
  train::profile_if_asked(experiment, *subject.model, train::to_device(loader->train_batch(0)));
  complete(subject, *source, options);
  return subject;
}

at::Tensor training_loss(const models::Model& model, const train::DeviceBatch& batch,
                         const nn::Context& context) {
  return model.loss(model.forward(batch, context), batch, model.objective, context).total;
}

}  // namespace evenkeel::probes
