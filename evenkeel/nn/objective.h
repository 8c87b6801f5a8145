// What training minimises: cross-entropy plus the terms that treatments add, of the logits as treatments
// leave them.
#pragma once

namespace evenkeel::nn {

struct Objective {
  double z_coefficient = 0;    ///< weight of the mean squared log Z of the output logits; 0 is off
  double output_scale = 1;     ///< of the output logits, before the cap
  double output_softcap = 0;   ///< c: an output logit y becomes c tanh(y / c); 0 is off
  double label_smoothing = 0;  ///< share of the target spread evenly over all ids
};

}  // namespace evenkeel::nn
