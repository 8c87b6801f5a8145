#include "evenkeel/spec/given.h"

#include "evenkeel/spec/arm.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel {

std::string Given::text(const Experiment& experiment, const std::string& path) const {
  const Json config = to_json(experiment);
  const Json& value = field_value(config, path);
  return text(path, value.is_number_float() ? fmt::format("{}", value.get<double>()) : value.dump());
}

}  // namespace evenkeel
