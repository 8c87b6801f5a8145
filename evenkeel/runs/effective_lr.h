// The effective learning rate: how much of a weight one update changes, RMS(update) / RMS(weight). Where a
// treatment makes weights scale-invariant (sigma-reparam with gamma = 1, queries and keys under qk-norm) the
// learning rate of the config means another thing than without it, and this is what compares.
#pragma once

#include <filesystem>
#include <optional>

#include "evenkeel/base/json.h"

namespace evenkeel::runs {

/// tensor/{parameter}/update_rms / param_rms of one record of heads.jsonl: the median over its tensors, but
/// for those that are zero; NaN when one is not finite; nullopt when the record has none.
std::optional<double> update_ratio(const Json& record);

/// The median of update_ratio over the records of a run; NaN when it recorded none.
double effective_lr(const std::filesystem::path& run);

}  // namespace evenkeel::runs
