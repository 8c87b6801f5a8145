// Adam with L2 decay: lambda p is added to the gradient, so it is part of both moments and of Delta.
//
//   g <- g + lambda p;   m, v of g;   p <- p - lr mhat / (sqrt(vhat) + eps)
//
// Kingma & Ba 2014 (arXiv 1412.6980); torch.optim.Adam. Without decay its bits are those of AdamW without
// decay.
#pragma once

#include "evenkeel/optim/adamw.h"

namespace evenkeel::optim {

class Adam : public AdamW {
 public:
  using AdamW::AdamW;
  nn::OpUse op_use() const override;

 protected:
  void update(double lr, std::vector<UpdateStats>* stats, double gradient_factor) override;
};

}  // namespace evenkeel::optim
