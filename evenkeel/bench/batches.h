// What all contestants train on: batches of random ids, drawn from the experiment's seed, so that no data set
// is needed.
//
// Language models have one batch. Sentence pairs have four, which a training run would meet: 29000 pairs with
// the lengths that Multi30k has in 8000 subwords (log-normal sources, median 14.7, sigma 0.30; targets 1.03
// times as long, sigma 0.17; the end included), cut into batches as training cuts them, one batch out of the
// middle of each quarter.
#pragma once

#include <vector>

#include "evenkeel/base/json.h"
#include "evenkeel/data/source.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::bench {

std::vector<data::HostBatch> batches_of(const Experiment& experiment);

/// Tokens a step predicts, padding left out, on average over `batches`.
double tokens_per_step(const std::vector<data::HostBatch>& batches);

/// The first request to a contestant: the experiment and its batches.
Json first_request(const Experiment& experiment);

}  // namespace evenkeel::bench
