#include "evenkeel/bench/measure.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "evenkeel/base/error.h"
#include "evenkeel/bench/batches.h"
#include "evenkeel/bench/contestant.h"
#include "evenkeel/bench/peers.h"
#include "evenkeel/bench/statistics.h"
#include "evenkeel/spec/family.h"
#include "evenkeel/sweep/process.h"

namespace evenkeel::bench {
namespace {

using Numbers = std::vector<double>;
constexpr int kReplayed = 20;    // pairs whose losses are computed again without telemetry
constexpr int kMemorySteps = 3;  // the third has every buffer of the ones before
constexpr int kBitSteps = 8;
constexpr double kCollapsed = 0.2;       // normalised entropy below which attention counts as collapsed
constexpr double kCollapsedLoss = 0.02;  // how far its loss may be from plain fp32

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Contestant start_ours(const Experiment& experiment, const std::vector<int>& cores = {}) {
  return Contestant({{sweep::find_trainer().string(), "bench"},
                     sweep::trainer_environment(experiment.train.threads),
                     cores});
}

/// Ours, ready to make steps.
Contestant open_ours(const Experiment& experiment, const std::vector<int>& cores = {}) {
  Contestant ours = start_ours(experiment, cores);
  ours.ask(first_request(experiment));
  return ours;
}

Json steps_request(int warm, int steps, bool telemetry = true) {
  return {{"do", "steps"}, {"warm", warm}, {"steps", steps}, {"telemetry", telemetry}};
}

Json range_of(const Numbers& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {*low, *high};
}

/// How far the first step may be from the plain path in fp32.
///
/// bf16 keeps 8 bits, so each rounded input is off by up to 2^-9 = 0.2 %, in both directions: a gradient
/// keeps its direction (cosine 0.99996 was seen) and its norm to a third of a percent, the loss its fourth
/// digit. In fp32 only the order of sums differs, and an exp good to 3e-6. Each limit leaves a factor of
/// three to ten; a wrong kernel is off by far more. The loss is a mean over tokens whose roundings are
/// independent: its limit is for 4096 tokens and grows as the root of their number falls (fused bf16 was
/// off by 1.2e-4 with 4096 tokens and 1.7e-3 with 64). Gradients of an encoder-decoder's queries and keys
/// cancel almost: weights of attention are nearly equal at the start, and post-LN has taken out what grows.
/// The plain path in bf16 is as far off there as the fused one: cosine 0.9976 and 0.9975, norm 0.8 % and 0.8
/// %.
struct Limits {
  double loss, cosine, norm;
};

Limits limits_of(const Experiment& e) {
  const double fewer = std::max(1.0, std::sqrt(4096.0 / static_cast<double>(e.tokens_per_step())));
  if (e.train.precision != Precision::kBf16) return {1e-5 * fewer, 0.999999, 1e-4};
  if (family_row(e.arch.family).reads == DataForm::kPairs) return {1e-3 * fewer, 0.993, 0.025};
  return {1e-3 * fewer, 0.999, 0.01};
}

/// Fills "libtorch", "parameters", "answers", "answers_checked" and perhaps "why".
void check_answers(const Experiment& experiment, Json& result) {
  Contestant ours = start_ours(experiment);
  const Json about = ours.ask(first_request(experiment));
  for (const char* key : {"libtorch", "parameters"}) result[key] = about.at(key);
  Json answers = ours.ask({{"do", "check"}});
  const Limits limits = limits_of(experiment);
  answers["limits"] = {{"loss", limits.loss}, {"min_cosine", limits.cosine}, {"max_norm_error", limits.norm}};
  const auto number = [&](const char* key) { return number_from_json(answers.at(key), key); };
  const double error = std::abs(number("loss") - number("reference_loss"));
  // Written so that NaN fails.
  const bool right = error <= limits.loss && number("min_cosine") >= limits.cosine &&
                     number("max_norm_error") <= limits.norm;
  result["answers_checked"] = right;
  if (!right) {
    result["why"] = fmt::format(
        "the first step differs from plain fp32: loss by {:.2g} (limit {:g}), cosine of a gradient {:.6f} at "
        "{} (limit {:g}), its norm by {:.2g} at {} (limit {:g})",
        error, limits.loss, number("min_cosine"), answers.value("min_cosine_at", "none"), limits.cosine,
        number("max_norm_error"), answers.value("max_norm_error_at", "none"), limits.norm);
  }
  result["answers"] = std::move(answers);
}

/// A folder that is gone afterwards.
class TempFolder {
 public:
  TempFolder() : path_((std::filesystem::temp_directory_path() / "evenkeel-bench-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr)
      throw EnvironmentError(fmt::format("cannot make a folder {}: {}", path_, std::strerror(errno)));
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string file(const char* name) const { return (std::filesystem::path(path_) / name).string(); }

 private:
  std::string path_;
};

/// Gives the peer our weights and compares its loss on the first batch with ours, both without dropout; a
/// peer that computes something else is no peer. Each may be as far from the truth as the first step may be.
void check_twin(Contestant& ours, const Experiment& experiment, Peer& peer) {
  const TempFolder folder;
  const std::string file = folder.file("weights.safetensors");
  try {
    const double our_loss =
        number_from_json(ours.ask({{"do", "export"}, {"weights", file}}).at("loss"), "loss");
    const Json answer = peer.process->ask({{"do", "loss"}, {"weights", file}});
    const double loss = answer.contains("loss") ? number_from_json(answer.at("loss"), "loss")
                                                : std::numeric_limits<double>::quiet_NaN();
    const double limit = 2 * limits_of(experiment).loss;
    peer.about["same_weights"] = {{"loss", loss}, {"our_loss", our_loss}, {"limit", limit}};
    // Written so that NaN fails.
    if (std::abs(loss - our_loss) <= limit) return;
    peer.about["why"] = fmt::format(
        "with our weights its loss is {:.5f} and ours {:.5f}, further apart than {:g}: it is not the "
        "same model",
        loss, our_loss, limit);
  } catch (const ContestantError& error) {
    peer.about = {{"why", fmt::format("it did not take our weights: {}", error.what())}};
  }
  peer.process.reset();
}

/// Median step time of one round.
double round_of(Contestant& contestant, const Config& config, Json& losses) {
  const Json answer = contestant.ask(steps_request(config.warm, config.steps));
  for (const char* key : {"step_s", "losses"}) {
    if (!answer.contains(key) || !answer[key].is_array() || answer[key].empty())
      throw ContestantError(fmt::format("its answer holds no list \"{}\"", key));
  }
  losses = answer["losses"];
  return median(answer["step_s"].get<Numbers>());
}

Json rate(double tokens, const Numbers& step_s) {
  Numbers rates;
  for (const double s : step_s) rates.push_back(tokens / s);
  return {{"tokens_per_s", median(rates)}, {"tokens_per_s_range", range_of(rates)}, {"step_s", step_s}};
}

void throughput(const Config& config, const Experiment& experiment, const Options& options, Json& result,
                const Say& say) {
  Contestant ours = open_ours(experiment);
  std::vector<Peer> peers;
  for (const std::string& word : options.peers) peers.push_back(start_peer(word, experiment, options));
  for (Peer& peer : peers)
    if (peer.process && peer.is_twin) check_twin(ours, experiment, peer);
  Numbers our_steps;
  std::vector<Numbers> peer_steps(peers.size());
  Json losses;
  for (int round = 1; round <= options.rounds; ++round) {
    say(fmt::format("{}: throughput, round {} of {}", config.name, round, options.rounds));
    our_steps.push_back(round_of(ours, config, losses));
    for (std::size_t i = 0; i < peers.size(); ++i) {
      if (!peers[i].process) continue;
      try {
        peer_steps[i].push_back(round_of(*peers[i].process, config, peers[i].about["losses"]));
      } catch (const ContestantError& error) {
        peers[i].about = {{"why", fmt::format("it failed in round {}: {}", round, error.what())}};
        peers[i].process.reset();
      }
    }
  }
  const double tokens = tokens_per_step(batches_of(experiment));
  result.update(rate(tokens, our_steps));
  result["last_loss"] = losses.back();
  result["peers"] = result["ratio"] = result["ratio_range"] = Json::object();
  for (std::size_t i = 0; i < peers.size(); ++i) {
    Json& entry = result["peers"][peers[i].name] = peers[i].about;
    if (!peers[i].process) continue;
    entry["last_loss"] = entry["losses"].back();
    entry.erase("losses");
    entry.update(rate(tokens, peer_steps[i]));
    Numbers ratios;
    for (std::size_t r = 0; r < our_steps.size(); ++r) ratios.push_back(peer_steps[i][r] / our_steps[r]);
    result["ratio"][peers[i].name] = median(ratios);
    result["ratio_range"][peers[i].name] = range_of(ratios);
  }
}

/// Median and bound of paired ratios: above / below, step times in seconds.
Json paired(const Numbers& above, const Numbers& below) {
  Numbers ratios;
  for (std::size_t i = 0; i < above.size(); ++i) ratios.push_back(above[i] / below[i]);
  Json result{{"median", median(ratios)},
              {"upper95", nullptr},
              {"pairs", ratios.size()},
              {"method", "one-sided sign-test bound of the median of paired ratios"}};
  if (const auto upper = median_upper95(ratios)) result["upper95"] = *upper;
  else result["why"] = "upper95: fewer than 5 pairs";
  return result;
}

int pairs_of(const Config& config, const Options& options) {
  constexpr int kFallback = 20;
  return options.pairs > 0 ? options.pairs : config.pairs > 0 ? config.pairs : kFallback;
}

Json telemetry(const Config& config, const Experiment& experiment, const Options& options) {
  const int pairs = pairs_of(config, options);
  Json answer = open_ours(experiment).ask({{"do", "pairs"}, {"warm", 2 * config.warm}, {"pairs", pairs}});
  const auto on = answer.at("on_s").get<Numbers>(), off = answer.at("off_s").get<Numbers>();
  const int replayed = 2 * config.warm + 2 * std::min(pairs, kReplayed);
  const Json plain = open_ours(experiment).ask(steps_request(0, replayed, false)).at("losses");
  const Json& losses = answer.at("losses");
  Json result = paired(on, off);
  result["on_s"] = median(on);
  result["off_s"] = median(off);
  result["same_losses"] = std::equal(plain.begin(), plain.end(), losses.begin());
  result["losses_compared"] = replayed;
  return result;
}

/// A step with the spectral record over one without; the record is made once in `cadence` steps.
Json spectra(const Config& config, const Experiment& experiment, const Options& options) {
  const auto cadence = static_cast<int>(experiment.telemetry.spectra_every);
  // Each pair takes `cadence` steps.
  const int pairs = options.pairs > 0 ? options.pairs : std::max(5, pairs_of(config, options) / 10);
  const Json answer =
      open_ours(experiment)
          .ask({{"do", "spectra"}, {"warm", 2 * config.warm}, {"pairs", pairs}, {"every", cadence}});
  const auto on = answer.at("on_s").get<Numbers>(), off = answer.at("off_s").get<Numbers>();
  Json result = paired(on, off);
  const auto amortised = [&](const Json& ratio) {
    return ratio.is_null() ? Json(nullptr) : Json(1 + (ratio.get<double>() - 1) / cadence);
  };
  result["cadence"] = cadence;
  result["on_s"] = median(on);
  result["off_s"] = median(off);
  result["amortised"] = amortised(result["median"]);
  result["amortised_upper95"] = amortised(result["upper95"]);
  const auto same = static_cast<int>(answer.at("losses").size());
  const Json plain = open_ours(experiment).ask(steps_request(0, same)).at("losses");
  result["same_losses"] = plain == answer.at("losses");
  result["losses_compared"] = same;
  return result;
}

/// A step with the treatment over one without; its answers are checked first.
Json treatment(const Config& config, const Experiment& baseline, const std::string& text,
               const Options& options) {
  const Experiment treated = experiment_of(config, options, treatment_settings(text));
  Json result = Json::object();
  check_answers(treated, result);
  result.erase("libtorch");
  if (!result["answers_checked"].get<bool>()) return result;
  const Json answer = open_ours(baseline).ask({{"do", "treatment"},
                                               {"treated", to_json(treated)},
                                               {"warm", 2 * config.warm},
                                               {"pairs", pairs_of(config, options)}});
  const auto with = answer.at("treated_s").get<Numbers>(), without = answer.at("baseline_s").get<Numbers>();
  result.update(paired(with, without));
  result["treated_s"] = median(with);
  result["baseline_s"] = median(without);
  return result;
}

/// Name of each treatment -> its object. Sets "answers_checked" to false in `result` when one computes wrong
/// numbers.
Json treatments(const Config& config, const Experiment& baseline, const Options& options, Json& result,
                const Say& say) {
  const std::vector<std::string> usual{"interventions.sigma_reparam=on", "interventions.qk_norm=per_head"};
  Json all = Json::object();
  for (const std::string& text : options.treatments.empty() ? usual : options.treatments) {
    say(fmt::format("{}: {}", config.name, text));
    try {
      all[text] = treatment(config, baseline, text, options);
    } catch (const ContestantError& error) {
      all[text] = {{"why", error.what()}};
      continue;
    }
    if (all[text]["answers_checked"] != true) {
      result["answers_checked"] = false;
      result["why"] = fmt::format("with {}: {}", text, all[text]["why"].get<std::string>());
    }
  }
  return all;
}

void memory(const Experiment& experiment, Json& result) {
  Contestant ours = start_ours(experiment);
  const Json about = ours.ask(first_request(experiment));
  ours.ask(steps_request(0, kMemorySteps));
  result["baseline_bytes"] = about.at("baseline_bytes");
  result["peak_bytes"] = ours.ask({{"do", "memory"}}).at("peak_bytes");
}

/// Seconds from the request until every contestant has made its steps.
double together(std::vector<Contestant>& all, int steps) {
  const auto begin = std::chrono::steady_clock::now();
  for (Contestant& one : all) one.send(steps_request(0, steps));
  for (Contestant& one : all) one.receive();
  return seconds_since(begin);
}

Json processes(const Config& config, Experiment experiment, const Options& options) {
  const std::vector<int> cores = first_cores(2);
  if (cores.size() < 2) return {{"ratio", nullptr}, {"why", "it needs two processors"}};
  std::vector<Contestant> one, two;
  experiment.train.threads = 2;
  one.push_back(open_ours(experiment, cores));
  experiment.train.threads = 1;
  for (const int core : cores) two.push_back(open_ours(experiment, {core}));
  Numbers ratios, one_rate, two_rate;
  const double tokens = 2.0 * config.steps * tokens_per_step(batches_of(experiment));
  for (int round = 0; round < options.rounds; ++round) {
    together(one, config.warm);
    const double alone = together(one, 2 * config.steps);
    together(two, config.warm);
    const double both = together(two, config.steps);
    one_rate.push_back(tokens / alone);
    two_rate.push_back(tokens / both);
    ratios.push_back(alone / both);
  }
  return {{"ratio", median(ratios)},
          {"ratio_range", range_of(ratios)},
          {"one_of_two_threads", median(one_rate)},
          {"two_of_one_thread", median(two_rate)},
          {"cores", cores}};
}

/// A process that does nothing but keep one of `cores` busy, until it goes out of scope.
class Busy {
 public:
  Busy(const std::vector<int>& cores, int niceness) {
    const pid_t parent = ::getpid();
    process_ = ::fork();
    if (process_ < 0) throw EnvironmentError(fmt::format("cannot start a process: {}", std::strerror(errno)));
    if (process_ > 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(128 + SIGKILL);
    stay_on(cores);
    if (::nice(niceness) == -1) ::_exit(1);
    volatile int nothing = 0;
    for (;;) static_cast<void>(nothing);
  }
  ~Busy() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  pid_t process_ = -1;
};

/// The rate alone, beside a busy process, and beside one with a niceness of 10, all on as many cores as there
/// are threads; in turn, in every round.
Json loaded(const Config& config, const Experiment& experiment, const Options& options) {
  const std::vector<int> cores = first_cores(static_cast<int>(experiment.train.threads));
  if (std::ssize(cores) < experiment.train.threads)
    return {{"why", fmt::format("it needs {} processors", experiment.train.threads)}};
  Contestant ours = open_ours(experiment, cores);
  const double tokens = config.steps * tokens_per_step(batches_of(experiment));
  // The whole stretch counts: where a core is shared, a few steps take most of the time.
  const auto rate = [&] {
    ours.ask(steps_request(config.warm, 1));
    const auto begin = std::chrono::steady_clock::now();
    ours.ask(steps_request(0, config.steps));
    return tokens / seconds_since(begin);
  };
  Numbers alone;
  std::map<std::string, Numbers> rates, ratios;
  for (int round = 0; round < options.rounds; ++round) {
    alone.push_back(rate());
    for (const auto& [name, niceness] : {std::pair{"busy", 0}, {"niced", 10}}) {
      const Busy busy(cores, niceness);
      rates[name].push_back(rate());
      ratios[name].push_back(rates[name].back() / alone.back());
    }
  }
  Json result{{"cores", cores}, {"alone", median(alone)}, {"alone_range", range_of(alone)}};
  for (const auto& [name, values] : rates) {
    result[name] = {{"tokens_per_s", median(values)},
                    {"tokens_per_s_range", range_of(values)},
                    {"ratio", median(ratios[name])},
                    {"ratio_range", range_of(ratios[name])}};
  }
  return result;
}

/// A step of the model with collapsed attention over one of the healthy model, on every path that computes in
/// its own way. Sets "answers_checked" to false in `result` when one computes wrong numbers or is not
/// collapsed.
Json collapsed(const Config& config, Experiment experiment, const Options& options, Json& result,
               const Say& say) {
  Json all = Json::object();
  std::optional<double> reference;  // the collapsed model's loss on the plain path
  for (const auto& [path, precision] : {std::pair{OpPath::kPlain, Precision::kFp32},
                                        {OpPath::kFused, Precision::kFp32},
                                        {OpPath::kFused, Precision::kBf16}}) {
    const std::string name = fmt::format("{}_{}", enum_name(path), enum_name(precision));
    say(fmt::format("{}: collapsed, {}", config.name, name));
    Json& entry = all[name] = Json::object();
    experiment.train.ops = path;
    experiment.train.precision = precision;
    if (precision == Precision::kBf16 && !machine_has_fast_bf16()) {
      entry["why"] = "this processor has no fast bf16";
      continue;
    }
    check_answers(experiment, entry);
    for (const char* key : {"libtorch", "parameters"}) entry.erase(key);
    if (entry["answers_checked"].get<bool>()) {
      const Json answer =
          open_ours(experiment)
              .ask({{"do", "collapsed"}, {"warm", config.warm}, {"pairs", pairs_of(config, options)}});
      const auto with = answer.at("collapsed_s").get<Numbers>(),
                 without = answer.at("healthy_s").get<Numbers>();
      const double loss = number_from_json(answer.at("losses").at(0), "loss"),
                   entropy = number_from_json(answer.at("entropy_norm").at("collapsed"), "entropy_norm");
      if (!reference) reference = loss;
      // Written so that NaN fails.
      const bool right = entropy <= kCollapsed && std::abs(loss - *reference) <= kCollapsedLoss;
      if (right) entry.update(paired(with, without));
      else
        entry["why"] = fmt::format(
            "collapsed attention has a normalised entropy of {:.3g} (limit {:g}) and a loss {:.2g} from "
            "plain fp32 "
            "(limit {:g})",
            entropy, kCollapsed, std::abs(loss - *reference), kCollapsedLoss);
      entry["answers_checked"] = right;
      entry["collapsed_s"] = median(with);
      entry["healthy_s"] = median(without);
      entry["entropy_norm"] = answer.at("entropy_norm");
      entry["loss"] = answer.at("losses").at(0);
    }
    if (entry["answers_checked"] == true) continue;
    result["answers_checked"] = false;
    result["why"] = fmt::format("{}: {}", name, entry["why"].get<std::string>());
  }
  return all;
}

/// Name of a kernel -> what denormals cost it on one thread, flushed and kept.
Json denormals(Experiment experiment, const Options& options) {
  experiment.train.threads = 1;
  const Json answer = open_ours(experiment).ask({{"do", "denormals"}, {"rounds", 4 * options.rounds}});
  Json result = Json::object();
  for (const auto& [name, times] : answer.items()) {
    Json& entry = result[name] = Json::object();
    const auto usual = times.at("usual_s").get<Numbers>();
    entry["usual_s"] = median(usual);
    for (const char* what : {"flushed", "kept"}) {
      const auto taken = times.at(fmt::format("{}_s", what)).get<Numbers>();
      Numbers ratios;
      for (std::size_t i = 0; i < taken.size(); ++i) ratios.push_back(taken[i] / usual[i]);
      entry[what] = {{"ratio", median(ratios)}, {"ratio_range", range_of(ratios)}};
    }
  }
  return result;
}

Json weights_after(Experiment experiment, int threads, bool telemetry) {
  experiment.train.threads = threads;
  Contestant ours = open_ours(experiment);
  ours.ask(steps_request(0, kBitSteps, telemetry));
  return ours.ask({{"do", "weights"}}).at("hash");
}

/// Whether the bits of all weights depend on threads or telemetry, for each path of the ops.
Json bits(Experiment experiment) {
  Json result{{"steps", kBitSteps}};
  for (const auto& [path, name] : EnumNames<OpPath>::names) {
    experiment.train.ops = path;
    const Json base = weights_after(experiment, 2, true);
    result[std::string(name)] = {{"threads", weights_after(experiment, 1, true) == base},
                                 {"telemetry", weights_after(experiment, 2, false) == base}};
  }
  return result;
}

Json first_step(const Experiment& experiment, const Options& options) {
  Numbers seconds;
  for (int round = 0; round < options.rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    Contestant ours = open_ours(experiment);
    ours.ask(steps_request(0, 1));
    seconds.push_back(seconds_since(begin));
  }
  return {{"median", median(seconds)}, {"range", range_of(seconds)}};
}

}  // namespace

Json measure(const Config& given, const Options& options, const Say& say) {
  Config config = given;
  if (options.steps > 0) config.steps = options.steps;
  const Experiment experiment = experiment_of(config, options);
  const auto wants = [&](const std::string& measurement, bool by_default) {
    const bool yes = options.only.empty() ? by_default : options.asks_for(measurement);
    if (yes) say(fmt::format("{}: {}", config.name, measurement));
    return yes;
  };
  Json result{{"model",
               {{"family", std::string(enum_name(config.family))},
                {"layers", config.layers},
                {"width", config.width},
                {"heads", config.heads},
                {"ffn_width", config.ffn_width},
                {"context", config.context},
                {"batch", config.batch},
                {"vocab", config.vocab}}},
              {"tokens_per_step", tokens_per_step(batches_of(experiment))},
              {"precision", std::string(enum_name(experiment.train.precision))},
              {"ops", std::string(enum_name(experiment.train.ops))},
              {"threads", experiment.train.threads}};
  say(fmt::format("{}: checking the answers", config.name));
  check_answers(experiment, result);
  if (!result["answers_checked"].get<bool>()) return result;
  if (wants("throughput", !config.collapsed)) throughput(config, experiment, options, result, say);
  if (wants("telemetry", config.pairs > 0 && !config.collapsed))
    result["telemetry_overhead"] = telemetry(config, experiment, options);
  if (wants("spectra", false)) result["spectra_overhead"] = spectra(config, experiment, options);
  if (wants("treatment", !options.treatments.empty()))
    result["treatments"] = treatments(config, experiment, options, result, say);
  if (wants("memory", !config.collapsed)) memory(experiment, result);
  if (wants("processes", config.small)) result["processes"] = processes(config, experiment, options);
  if (wants("threads", config.small)) result["bits"] = bits(experiment);
  if (wants("start", config.small)) result["first_step_s"] = first_step(experiment, options);
  if (wants("loaded", false)) result["loaded"] = loaded(config, experiment, options);
  if (wants("collapsed", config.collapsed))
    result["collapsed"] = collapsed(config, experiment, options, result, say);
  if (wants("denormals", config.collapsed)) result["denormals"] = denormals(experiment, options);
  return result;
}

}  // namespace evenkeel::bench
