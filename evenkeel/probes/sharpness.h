// Sharpness of a model beside the edge of stability of its optimiser (curvature/sharpness.h), in double.
#pragma once

#include "evenkeel/probes/probe.h"

namespace evenkeel::probes {

Probe sharpness_probe();

}  // namespace evenkeel::probes
