// `evenkeel-train serve`: loads LibTorch once and forks a process for every run a sweep asks for (the
// messages: evenkeel/sweep/trainer_server.h).
#pragma once

#include <functional>
#include <string>

namespace evenkeel::cli {

/// Serves the socket on standard input until its other end is closed; returns an exit code. In a forked
/// process `run` trains a run directory, and its answer becomes the exit code. Throws InputError when
/// standard input is no such socket, and EnvironmentError when a library has started threads, which a fork
/// would lose.
int serve(const std::function<int(const std::string&)>& run);

}  // namespace evenkeel::cli
