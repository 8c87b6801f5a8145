// Coordinate check: whether sizes inside the model stay what they are when the model becomes wider, over the
// first steps of training.
//
//   size(w, t) ~ w^slope(t),    slope by least squares of log size over log width, per seed
//
// Models of several widths (heads of one width, so that their number grows; MLPs in the same proportion) make
// the same steps on the same data, at the study's peak learning rate without warm-up, and after each look at
// one fixed batch. Of what flows forward the size is the RMS of the *change* since initialisation, which
// hides no growth behind what was there before: the stream and the branch of every sub-layer, and the output
// logits. Besides, as they are: attention logits, and the RMS of every tensor's gradient and update.
//
// A rule transfers learning rates over width where nothing that flows forward grows (Yang et al. 2021,
// arXiv 2203.03466, section D; Everett et al. 2024, arXiv 2407.05872). Theory knows slopes of 0, 1/2 and 1
// for wide models, so that a slope is taken for growth where its whole interval over seeds lies above 1/4,
// and for none where it lies within 1/4 of 0.
//
// Cost: widths * seeds * steps training steps and forward passes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "evenkeel/probes/probe.h"

namespace evenkeel::probes {

/// Half of the smallest slope but 0 that theory knows.
inline constexpr double kSlopeMargin = 0.25;

/// Name of a quantity -> its size after steps 1, 2, ... "logits/out", "stream/blocks.0.attn",
/// "branch/blocks.0.attn", "attn/layer00", "gradient/head.weight", "update/head.weight".
using Sizes = std::map<std::string, std::vector<double>>;

/// `experiment` resolved: its model with another width, as many heads as keep their width, the MLP in
/// proportion. Throws InputError where heads do not divide the width.
Experiment at_width(const Experiment& experiment, std::int64_t width);

/// What the first `steps` steps make of every quantity. `experiment` resolved.
Sizes sizes_of(const Experiment& experiment, std::int64_t steps);

Probe coordinates_probe();

}  // namespace evenkeel::probes
