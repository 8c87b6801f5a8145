#include "evenkeel/interventions/embedding_form.h"

#include <cmath>
#include <memory>

#include "evenkeel/interventions/mu_param.h"
#include "evenkeel/nn/embedding.h"

namespace evenkeel::interventions {

void apply_embedding_form(nn::Module& root, const Experiment& experiment) {
  const EmbeddingForm form = experiment.interventions.embedding;
  if (form == EmbeddingForm::kOff) return;
  root.visit([&](nn::Module& module) {
    auto* embedding = dynamic_cast<nn::Embedding*>(&module);
    if (embedding == nullptr) return;
    if (form == EmbeddingForm::kScale)
      embedding->set_scale("embedding", std::sqrt(embedding_width(experiment)));
    else embedding->set_norm("embedding", std::make_unique<nn::Norm>(nn::norm_shape(experiment.arch)));
  });
}

}  // namespace evenkeel::interventions
