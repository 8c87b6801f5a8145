#include "evenkeel/train/build_model.h"

#include "evenkeel/interventions/registry.h"
#include "evenkeel/models/registry.h"

namespace evenkeel::train {

std::unique_ptr<models::Model> build_model(const Experiment& experiment) {
  std::unique_ptr<models::Model> model = models::build_family(experiment);
  for (const interventions::Intervention& intervention : interventions::all())
    intervention.apply(*model, model->objective, experiment);
  model->objective.label_smoothing = experiment.train.label_smoothing;
  nn::initialise(*model, static_cast<std::uint64_t>(experiment.train.seed));
  return model;
}

}  // namespace evenkeel::train
