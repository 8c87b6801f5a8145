#pragma once

#include <vector>

namespace evenkeel {

/// NaN when empty; values that are not finite are left out.
double median_of_finite(std::vector<double> values);

}  // namespace evenkeel
