#include "evenkeel/bench/peers.h"

#include <fmt/format.h>

#include <string_view>

#include "evenkeel/base/error.h"
#include "evenkeel/bench/batches.h"
#include "evenkeel/spec/family.h"

namespace evenkeel::bench {
namespace {

struct TorchPeer {
  Precision precision = Precision::kAuto;  ///< kAuto: ours
  std::string variant;                     ///< "" or "_tuned"
  std::vector<std::string> arguments;
};

/// torch[_bf16|_fp32][_tuned]
std::optional<TorchPeer> parse_torch(std::string_view word) {
  const auto take = [&](std::string_view part) {
    if (!word.starts_with(part)) return false;
    word.remove_prefix(part.size());
    return true;
  };
  TorchPeer peer;
  if (!take("torch")) return std::nullopt;
  if (take("_bf16")) peer.precision = Precision::kBf16;
  else if (take("_fp32")) peer.precision = Precision::kFp32;
  peer.variant = word;
  if (take("_tuned")) peer.arguments = {"--tuned"};
  if (!word.empty()) return std::nullopt;
  return peer;
}

/// "1.13" of "1.13.0a0+gitunknown".
std::string short_version(const std::string& version) {
  const std::size_t minor = version.find('.');
  return minor == std::string::npos ? version : version.substr(0, version.find('.', minor + 1));
}

Peer start_torch(const std::string& word, const TorchPeer& torch, Experiment experiment,
                 const std::vector<std::string>& pythons) {
  if (torch.precision != Precision::kAuto) experiment.train.precision = torch.precision;
  const bool translates = family_row(experiment.arch.family).reads == DataForm::kPairs;
  std::string reasons;
  for (const std::string& python : pythons) {
    try {
      std::vector<std::string> words{python, "-c", translates ? seq2seq_torch_script() : gpt_torch_script()};
      words.insert(words.end(), torch.arguments.begin(), torch.arguments.end());
      Contestant process({std::move(words), thread_environment(experiment.train.threads), {}});
      Json about = process.ask(first_request(experiment));
      about["python"] = python;
      const std::string version = short_version(about.at("version").get<std::string>());
      const std::string name =
          fmt::format("torch_{}_{}{}", version, enum_name(experiment.train.precision), torch.variant);
      return {name, std::move(about), std::move(process), translates};
    } catch (const ContestantError& error) {
      reasons += (reasons.empty() ? "" : "; ") + std::string(error.what());
    }
  }
  return {word,
          {{"why", fmt::format("{}; there is no ratio: name a Python that has it with --peer-python, or "
                               "leave it out with --peers none",
                               reasons)}},
          std::nullopt};
}

}  // namespace

std::map<std::string, std::string> thread_environment(std::int64_t threads) {
  const std::string n = std::to_string(threads);
  return {{"OMP_NUM_THREADS", n}, {"OPENBLAS_NUM_THREADS", n}, {"MKL_NUM_THREADS", n}};
}

Peer start_peer(const std::string& word, const Experiment& experiment, const Options& options) {
  if (const auto torch = parse_torch(word)) {
    std::vector<std::string> pythons{"python3", "/usr/bin/python3"};
    if (!options.peer_python.empty()) pythons = {options.peer_python};
    return start_torch(word, *torch, experiment, pythons);
  }
  const std::size_t equals = word.find('=');
  Peer peer{word.substr(0, equals), Json::object(), std::nullopt};
  try {
    Contestant process(
        {{"/bin/sh", "-c", word.substr(equals + 1)}, thread_environment(experiment.train.threads), {}});
    peer.about = process.ask(first_request(experiment));
    peer.process.emplace(std::move(process));
  } catch (const ContestantError& error) {
    peer.about = {{"why", fmt::format("{}; there is no ratio: try the command of --peers {} by itself",
                                      error.what(), peer.name)}};
  }
  return peer;
}

std::vector<std::string> checked_peers(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (word == "none") return {};
    if (parse_torch(word)) continue;
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == word.size()) {
      throw InputError(fmt::format(
          "--peers must hold torch[_bf16|_fp32][_tuned], NAME=COMMAND or none, got \"{}\"", word));
    }
  }
  return words;
}

}  // namespace evenkeel::bench
