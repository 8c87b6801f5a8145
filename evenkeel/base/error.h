// The kinds of failure and the exit code each one ends a program with.
//
// A message is one sentence: what is wrong and where, what was expected, what to do. Tagged with the config
// path or the file: "[optim.lr] must be > 0, got -0.1 (sweep.toml:14)".
#pragma once

#include <stdexcept>
#include <string>

namespace evenkeel {

/// Exit codes of both programs.
enum ExitCode : int {
  kExitFinished = 0,
  kExitBadInput = 2,      ///< usage, config or data: nothing was run
  kExitStopped = 3,       ///< stopped by policy: the run became non-finite
  kExitInternal = 4,      ///< a bug in evenkeel
  kExitEnvironment = 5,   ///< disk full, no permission, lost peer
  kExitCellsCrashed = 6,  ///< cells of a sweep crashed beyond their retries; a signal ended a run's trainer
  kExitInterrupted = 75,  ///< SIGTERM, SIGINT or SIGHUP: run the same command again to go on
};

/// What the user gave cannot be used: a config key, a command line, a data file.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The machine refused: disk full, no permission, a file that vanished.
class EnvironmentError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// SIGTERM, SIGINT or SIGHUP arrived; the work so far is saved.
class Interrupted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace evenkeel
