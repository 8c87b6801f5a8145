#include "evenkeel/optim/adam.h"

#include "evenkeel/ops/reduce.h"
#include "evenkeel/optim/plain_rule.h"

namespace evenkeel::optim {

void Adam::update(double lr, std::vector<UpdateStats>* stats, double gradient_factor) {
  std::vector<at::Tensor> gradients, decayed;
  for (std::size_t i = 0; i < params().size(); ++i) {
    const nn::Param& param = *params()[i];
    gradients.push_back(scaled_gradient(param, gradient_factor));
    decayed.push_back(with_decay(gradients[i], param.value, decay_of(i)));
  }
  update_with(decayed, lr, 0, stats, 1);
  if (stats == nullptr) return;
  for (std::size_t i = 0; i < params().size(); ++i) (*stats)[i].grad_rms = ops::rms(gradients[i]);
}

nn::OpUse Adam::op_use() const {
  return {"adam", OpPath::kFused, "kernels for fp32, whatever train.ops", true};
}

}  // namespace evenkeel::optim
