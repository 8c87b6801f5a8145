// Spectral norms to convergence (train/spectra.h has what telemetry records on the way): sigma and stable
// rank |A|_F^2 / sigma^2 of every matrix in use, sigma(W_Q W_K^T) of every head, and how far the entropy of
// attention lies above Theorem 3.1's bound (telemetry/entropy_bound.h), least over the batch.
#pragma once

#include "evenkeel/probes/probe.h"

namespace evenkeel::probes {

Probe spectra_probe();

}  // namespace evenkeel::probes
