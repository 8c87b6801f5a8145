#include "evenkeel/nn/weight_transform.h"

#include <algorithm>
#include <map>
#include <utility>

#include "evenkeel/nn/linear.h"

namespace evenkeel::nn {

WeightTransform::WeightTransform(std::vector<Linear*> members) : members_(std::move(members)) {}

std::vector<at::Tensor> weights_in_use(const std::vector<const Linear*>& layers, const Context& context) {
  std::vector<at::Tensor> weights;
  std::map<const WeightTransform*, std::vector<at::Tensor>> transformed;
  for (const Linear* layer : layers) {
    const WeightTransform* transform = layer->weight_transform();
    if (transform == nullptr) {
      weights.push_back(layer->weight.value);
      continue;
    }
    std::vector<at::Tensor>& all = transformed[transform];
    if (all.empty()) all = transform->forward(context);
    const auto& members = transform->members();
    weights.push_back(
        all[static_cast<std::size_t>(std::find(members.begin(), members.end(), layer) - members.begin())]);
  }
  return weights;
}

}  // namespace evenkeel::nn
