// One change in the middle of training: what happens to a run whose attention temperature, learning rate or
// epsilon changes, or whose warm-up ends, at a given step. Zhai et al. 2023 (arXiv 2303.06296) lower the
// temperature inside and after warm-up. Recorded as events of kind "change".
#pragma once

#include "evenkeel/config/field.h"

namespace evenkeel {

struct ChangeSpec {
  Duration at{100, Duration::Unit::kPercent}, until{100, Duration::Unit::kPercent};
  double attention_temperature = 1, lr_factor = 1, eps_factor = 1;
  bool end_warmup = false;

  /// Whether anything is different between `at` and `until`.
  bool any() const { return attention_temperature != 1 || lr_factor != 1 || eps_factor != 1 || end_warmup; }

  static void fields(auto& self, auto&& visit) {
    visit("at", self.at, {.doc = "Updates made before the change; 100% is never."});
    visit("until", self.until, {.doc = "Updates made when it is taken back; 100% is never."});
    visit("attention_temperature", self.attention_temperature,
          {.doc = "Attention logits are divided by this; 1 is no change.",
           .source = "arXiv 2303.06296",
           .min = 0,
           .above_min = true});
    visit("lr_factor", self.lr_factor, {.doc = "Multiplies the learning rate; 1 is no change.", .min = 0});
    visit("eps_factor", self.eps_factor,
          {.doc = "Multiplies the optimiser's epsilon; 1 is no change.", .min = 0});
    visit("end_warmup", self.end_warmup, {.doc = "During warm-up the learning rate is the peak's instead."});
  }
};

}  // namespace evenkeel
