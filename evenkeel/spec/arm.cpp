#include "evenkeel/spec/arm.h"

#include <algorithm>
#include <map>
#include <set>

#include "evenkeel/spec/experiment.h"

namespace evenkeel {
namespace {

std::string last_part(const std::string& path) {
  return path.substr(path.rfind('.') + 1);
}

bool follows_from_size(const Json& config, const std::string& path) {
  const Json& arch = config.at("arch");
  return path == "arch.ffn_width" && arch.at("width").is_number() &&
         arch.at("ffn_width") == 4 * arch.at("width").get<std::int64_t>();
}

}  // namespace

Json::json_pointer setting_pointer(std::string path) {
  std::replace(path.begin(), path.end(), '.', '/');
  return Json::json_pointer("/" + path);
}

bool is_size(const std::string& path) {
  static const std::set<std::string> paths{"arch.size", "arch.ladder", "arch.width", "arch.depth",
                                           "arch.heads"};
  return paths.count(path) != 0;
}

bool is_arm(const std::string& path) {
  return !is_size(path) && path != "optim.lr" && path != "train.seed";
}

std::string arm_name(const Json& config, const std::vector<std::string>& paths) {
  std::map<std::string, int> uses;
  for (const std::string& path : paths) uses[last_part(path)] += is_arm(path);
  std::map<std::string, std::string> parts;
  for (const std::string& path : paths) {
    if (!is_arm(path) || follows_from_size(config, path)) continue;
    const std::string key = last_part(path);
    parts[uses[key] > 1 ? path : key] = value_text(field_value(config, path));
  }
  std::string name;
  for (const auto& [key, value] : parts) name += (name.empty() ? "" : ",") + key + "=" + value;
  return name.empty() ? kBaselineArm : name;
}

std::vector<std::string> chosen_interventions(const Json& config) {
  const Json defaults = to_json(Experiment{});
  std::vector<std::string> chosen;
  for (const FieldDoc& field : describe<InterventionsSpec>()) {
    const std::string path = "interventions." + field.path;
    if (field_value(config, path) != field_value(defaults, path)) chosen.push_back(path);
  }
  return chosen;
}

std::vector<std::string> differing_settings(const std::vector<const Json*>& configs) {
  std::vector<std::string> paths;
  if (configs.empty()) return paths;
  for (const FieldDoc& field : describe<Experiment>()) {
    if (!field.hashed) continue;
    const Json::json_pointer place = setting_pointer(field.path);
    const Json& first = configs.front()->at(place);
    const bool differs = std::any_of(configs.begin(), configs.end(),
                                     [&](const Json* config) { return config->at(place) != first; });
    if (differs) paths.push_back(field.path);
  }
  return paths;
}

int changed_settings(const Json& config, const std::vector<std::string>& paths) {
  // A family fills in what it has where nothing is said, so its own defaults are those of an experiment of
  // it.
  static std::map<std::string, Json> defaults_of;
  const auto& family = config.at("arch").at("family").get_ref<const std::string&>();
  auto found = defaults_of.find(family);
  if (found == defaults_of.end()) {
    const Settings only{{"arch.family", {family, "defaults"}}};
    found = defaults_of.emplace(family, to_json(experiment_from(only))).first;
  }
  const Json& defaults = found->second;
  return static_cast<int>(std::count_if(paths.begin(), paths.end(), [&](const std::string& path) {
    return is_arm(path) && field_value(config, path) != field_value(defaults, path);
  }));
}

const Json& field_value(const Json& config, const std::string& path) {
  return config.at(setting_pointer(path));
}

std::string value_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace evenkeel
