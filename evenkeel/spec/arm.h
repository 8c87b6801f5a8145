// Names of arms. An arm is everything but size, learning rate and seed (docs/guide/definitions.md); its name
// lists what sets it apart as `key=value`, keys sorted, joined by commas. A sweep, the analysis and listings
// all name arms here.
#pragma once

#include <string>
#include <vector>

#include "evenkeel/base/json.h"

namespace evenkeel {

/// Where a single arm has nothing to tell it apart.
inline constexpr const char* kBaselineArm = "baseline";

/// True for the fields that say how large a model is: rung, ladder, width, depth, heads.
bool is_size(const std::string& path);

/// True for fields that belong to the arm: neither size nor learning rate nor seed.
bool is_arm(const std::string& path);

/// Names `config` (resolved, as JSON) by those of `paths` that belong to the arm. A key is the last part of
/// its path, or the whole path where two share it. `arch.ffn_width` follows from the size, and is left out,
/// where it is 4 times the width. kBaselineArm when nothing is left.
std::string arm_name(const Json& config, const std::vector<std::string>& paths);

/// The interventions of `config` (resolved, as JSON) that are not at their default, in order of declaration.
std::vector<std::string> chosen_interventions(const Json& config);

/// Settings that decide the result and differ between `configs`, in order of declaration.
std::vector<std::string> differing_settings(const std::vector<const Json*>& configs);

/// How many of `paths` that belong to the arm have a value in `config` (resolved, as JSON) other than the one
/// its family declares as the default. The arm with the fewest is the natural baseline of a study.
int changed_settings(const Json& config, const std::vector<std::string>& paths);

/// Where the field at a dotted path stands in a resolved configuration: for reading many of them.
Json::json_pointer setting_pointer(std::string path);

/// Value of the field at a dotted path of a resolved configuration.
const Json& field_value(const Json& config, const std::string& path);

/// A value as people write it: strings without quotes.
std::string value_text(const Json& value);

}  // namespace evenkeel
