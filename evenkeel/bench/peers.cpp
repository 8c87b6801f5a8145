#include "evenkeel/bench/peers.h"

#include <fmt/format.h>

#include <algorithm>

#include "evenkeel/base/error.h"

namespace evenkeel::bench {
namespace {

struct TorchPeer {
  const char* name;
  Precision precision;  ///< kAuto: ours
  const char* gelu;
};

constexpr TorchPeer kTorch[] = {
    {"torch", Precision::kAuto, "erf"},      {"torch_tanh", Precision::kAuto, "tanh"},
    {"torch_bf16", Precision::kBf16, "erf"}, {"torch_bf16_tanh", Precision::kBf16, "tanh"},
    {"torch_fp32", Precision::kFp32, "erf"}, {"torch_fp32_tanh", Precision::kFp32, "tanh"},
};

const TorchPeer* find_torch(const std::string& word) {
  const auto found = std::find_if(std::begin(kTorch), std::end(kTorch),
                                  [&](const TorchPeer& peer) { return word == peer.name; });
  return found == std::end(kTorch) ? nullptr : found;
}

/// "1.13" of "1.13.0a0+gitunknown".
std::string short_version(const std::string& version) {
  const std::size_t minor = version.find('.');
  return minor == std::string::npos ? version : version.substr(0, version.find('.', minor + 1));
}

Json request_of(const Experiment& experiment) {
  return {{"experiment", to_json(experiment)}};
}

Peer start_torch(const TorchPeer& torch, Experiment experiment, const std::vector<std::string>& pythons) {
  if (torch.precision != Precision::kAuto) experiment.train.precision = torch.precision;
  std::string reasons;
  for (const std::string& python : pythons) {
    try {
      Contestant process({{python, "-c", torch_script(), "--gelu", torch.gelu},
                          thread_environment(experiment.train.threads),
                          {}});
      Json about = process.ask(request_of(experiment));
      about["gelu"] = torch.gelu;
      about["python"] = python;
      const std::string name = fmt::format(
          "torch_{}_{}{}", short_version(about.at("version").get<std::string>()),
          enum_name(experiment.train.precision), torch.gelu == std::string("tanh") ? "_tanh" : "");
      return {name, std::move(about), std::move(process)};
    } catch (const ContestantError& error) {
      reasons += (reasons.empty() ? "" : "; ") + std::string(error.what());
    }
  }
  return {torch.name,
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
  if (const TorchPeer* torch = find_torch(word)) {
    std::vector<std::string> pythons{"python3", "/usr/bin/python3"};
    if (!options.peer_python.empty()) pythons = {options.peer_python};
    return start_torch(*torch, experiment, pythons);
  }
  const std::size_t equals = word.find('=');
  Peer peer{word.substr(0, equals), Json::object(), std::nullopt};
  try {
    Contestant process(
        {{"/bin/sh", "-c", word.substr(equals + 1)}, thread_environment(experiment.train.threads), {}});
    peer.about = process.ask(request_of(experiment));
    peer.process.emplace(std::move(process));
  } catch (const ContestantError& error) {
    peer.about = {{"why", fmt::format("{}; there is no ratio: try the command of --peers {} by itself",
                                      error.what(), peer.name)}};
  }
  return peer;
}

std::vector<std::string> checked_peers(const std::vector<std::string>& words) {
  std::string known;
  for (const TorchPeer& torch : kTorch) known += std::string(torch.name) + ", ";
  for (const std::string& word : words) {
    if (word == "none") return {};
    if (find_torch(word)) continue;
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == word.size()) {
      throw InputError(
          fmt::format("--peers must name some of {}none, or NAME=COMMAND, got \"{}\"", known, word));
    }
  }
  return words;
}

}  // namespace evenkeel::bench
