// A probe answers one question about a model as it is, after training or between updates: unlike telemetry it
// may cost seconds and goes through the plain path in double. Each is one file here and one line of the
// registry; docs/formats/probe.md has the keys.
#pragma once

#include <string>
#include <vector>

#include "evenkeel/base/json.h"
#include "evenkeel/probes/subject.h"

namespace evenkeel::probes {

/// For people.
struct Table {
  std::string title;                           ///< "" for none
  std::vector<std::vector<std::string>> rows;  ///< the first is the heading
  std::size_t words = 1;                       ///< first columns that hold words
};
struct Description {
  std::vector<Table> tables;
  std::vector<std::string> notes;  ///< sentences that go below them
};

struct Probe {
  const char* name;   ///< "sharpness"; also the key of its answer
  const char* about;  ///< one line for help
  /// Its own answer, an object. What cannot be said is null, with the reason in a sibling "why".
  Json (*measure)(const Subject& subject, const Options& options);
  /// Of answers of measure() below, in order.
  Description (*describe)(const std::vector<Json>& answers);
  int seeds = 1;  ///< Options::seeds where nobody says
};

const std::vector<Probe>& all();
/// Throws InputError naming those there are.
const Probe& find(const std::string& name);

/// The whole answer: what was looked into and how, and under the probe's name what it says. `run` is the
/// folder's name, null for a model at initialisation.
Json measure(const Probe& probe, const Json& run, const Subject& subject, const Options& options);

/// "runs/a, step 75" or "at initialisation", of an answer.
std::string subject_text(const Json& answer);
/// A number of an answer; "-" for null.
std::string number_text(const Json& value, const char* form = "{:.4g}");

}  // namespace evenkeel::probes
