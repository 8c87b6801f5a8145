#include "evenkeel/report/probe_answers.h"

#include <cmath>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/report/rounded.h"

namespace evenkeel::report {
namespace {

// Of every stack and sub-layer, and what of the probe itself is told.
struct Drawn {
  const char* probe;
  std::vector<const char*> of_probe, of_sublayer;
};
const std::vector<Drawn> kDrawn{
    {"dependency", {}, {"beta", "dependency"}},
    {"output-change", {"change", "size", "seeds"}, {"change", "std"}},
    {"gradients", {}, {"at_sum", "at_input"}},
};

Json rounded_all(const Json& value) {
  if (value.is_number_float() || value.is_string()) return rounded(number_from_json(value, "answer"));
  if (!value.is_array()) return value;
  Json all = Json::array();
  for (const Json& item : value) all.push_back(rounded_all(item));
  return all;
}

/// Throws Json::exception where something is missing.
Json drawn_of(const Json& answer, const Drawn& drawn) {
  const Json& said = answer.at(drawn.probe);
  Json kept{{"scheme", said.at("scheme").get<std::string>()}, {"stacks", Json::array()}};
  for (const char* key : drawn.of_probe) kept[key] = said.at(key);
  for (const Json& stack : said.at("stacks")) {
    Json sublayers = Json::array();
    for (const Json& sublayer : stack.at("sublayers")) {
      Json one{{"site", sublayer.at("site").get<std::string>()}};
      for (const char* key : drawn.of_sublayer) one[key] = rounded_all(sublayer.at(key));
      sublayers.push_back(std::move(one));
    }
    kept["stacks"].push_back({{"stack", stack.at("stack").get<std::string>()}, {"sublayers", sublayers}});
  }
  return {{"run", answer.at("run")},
          {"step", answer.at("step").get<std::int64_t>()},
          {"config_hash", answer.at("config_hash").get<std::string>()},
          {drawn.probe, kept}};
}

}  // namespace

Json read_probe_answers(const std::vector<fs::path>& files) {
  Json all = Json::array();
  for (const fs::path& file : files) {
    const Json document = read_json(file);
    const std::string wanted =
        file.string() +
        " holds no answer that the report draws, expected what `evenkeel probe dependency`, "
        "`output-change` or `gradients` prints with --json";
    const std::size_t before = all.size();
    for (const Json& answer : document.is_array() ? document : Json::array({document})) {
      if (!answer.is_object()) throw InputError(wanted);
      try {
        for (const Drawn& drawn : kDrawn)
          if (answer.contains(drawn.probe)) all.push_back(drawn_of(answer, drawn));
      } catch (const Json::exception&) {
        throw InputError(wanted);
      }
    }
    if (all.size() == before) throw InputError(wanted);
  }
  return all;
}

}  // namespace evenkeel::report
