// Whom evenkeel is compared with: PyTorch's own training step, and any program that speaks
// docs/formats/bench.md.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "evenkeel/bench/config.h"
#include "evenkeel/bench/contestant.h"

namespace evenkeel::bench {

/// A peer that is ready to make steps, or why it is not.
struct Peer {
  std::string name;  ///< "torch_1.13_bf16"; as it was asked for when it did not start
  Json about;        ///< what it says of itself: version, parameters; or {"why": sentence}
  std::optional<Contestant> process;
  bool is_twin = false;  ///< the same model: it answers "loss" for our weights
};

/// Starts the peer called `word`: torch[_bf16|_fp32][_tuned] (without a precision: ours), or
/// NAME=COMMAND for a shell. Never throws for a peer that does not start.
Peer start_peer(const std::string& word, const Experiment& experiment, const Options& options);

/// Throws InputError for words that are none of these; "none" removes all peers.
std::vector<std::string> checked_peers(const std::vector<std::string>& words);

/// Texts of benchmarks/peers/*.py.
const char* gpt_torch_script();
const char* seq2seq_torch_script();

/// Threads of every library a contestant may use.
std::map<std::string, std::string> thread_environment(std::int64_t threads);

}  // namespace evenkeel::bench
