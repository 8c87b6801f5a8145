// The endless source over the built-in language.
#pragma once

#include <memory>

#include "evenkeel/data/source.h"

namespace evenkeel::data {

/// Training windows for every index >= 0; valid_tokens / context validation windows, disjoint from them.
/// Facts hold the ideal predictor's mean loss on the validation set as `floor`. Throws InputError when
/// lag_min > lag_max, or the context is not above lag_max.
std::unique_ptr<WindowSource> make_synthetic_source(const DataSpec& spec, std::int64_t context);

}  // namespace evenkeel::data
