// One change in the middle of training: what happens to a run whose attention temperature, learning rate or
// epsilon changes, or whose warm-up ends, at a given step. Zhai et al. 2023 (arXiv 2303.06296) lower the
// temperature inside and after warm-up. Recorded as events of kind "change".
#pragma once

#include <optional>

#include "evenkeel/config/field.h"

namespace evenkeel {

struct ChangeSpec {
  std::optional<Duration> at, until;
  double attention_temperature = 1, lr_factor = 1;
  std::optional<double> eps;
  bool end_warmup = false;

  static void fields(auto& self, auto&& visit) {
    visit("at", self.at, {.doc = "Updates made before the change; auto: nothing changes."});
    visit("until", self.until, {.doc = "Updates made when it is taken back; auto: it stays."});
    visit("attention_temperature", self.attention_temperature,
          {.doc = "Attention logits are divided by this; 1 is no change.", .min = 0, .above_min = true});
    visit("lr_factor", self.lr_factor, {.doc = "Multiplies the learning rate; 1 is no change.", .min = 0});
    visit("eps", self.eps, {.doc = "The optimiser's epsilon from then on; auto: no change.", .min = 0});
    visit("end_warmup", self.end_warmup, {.doc = "The learning rate jumps to what it is after warm-up."});
  }
};

}  // namespace evenkeel
