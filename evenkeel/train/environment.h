// Where a run was made: the manifest's environment object, which may differ between equal runs.
#pragma once

#include "evenkeel/base/json.h"

namespace evenkeel::train {

/// `known` with host, processor, LibTorch and its matrix library, thread count, and whether denormals are
/// flushed (kernels/denormals.h) added.
Json environment(Json known);

}  // namespace evenkeel::train
