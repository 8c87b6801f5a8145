// A process that is measured: evenkeel-train or a peer. It reads requests and writes answers, one JSON object
// per line, on its standard input and output (docs/formats/bench.md).
#pragma once

#include <sys/types.h>

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "evenkeel/base/json.h"

namespace evenkeel::bench {

/// The contestant said that it cannot, or ended: one sentence.
class ContestantError : public std::runtime_error {
 public:
  explicit ContestantError(const std::string& sentence, int code = 0)
      : std::runtime_error(sentence), exit_code(code) {}
  int exit_code;  ///< of a process that ended, 128 + signal where it was killed; 0: it goes on
};

struct Command {
  std::vector<std::string> words;                  ///< program, searched on the path, and its arguments
  std::map<std::string, std::string> environment;  ///< added to the present one
  std::vector<int> cores;                          ///< the only ones it may use; empty: as this process
};

class Contestant {
 public:
  /// Starts the process; one that cannot be executed shows in the first answer. Throws EnvironmentError when
  /// no process can be made.
  explicit Contestant(const Command& command);
  /// Kills the process.
  ~Contestant();
  Contestant(Contestant&& other) noexcept;
  Contestant(const Contestant&) = delete;
  Contestant& operator=(const Contestant&) = delete;

  /// Sends a request without waiting for its answer.
  void send(const Json& request);
  /// Waits for an answer. Throws ContestantError when it is {"error": sentence}, no JSON, or none.
  Json receive();
  Json ask(const Json& request);

 private:
  [[noreturn]] void ended();

  std::string name_;
  pid_t process_ = -1;
  int socket_ = -1, messages_ = -1;
  std::string received_;
};

/// The first `n` processors that this process may use; fewer where there are fewer.
std::vector<int> first_cores(int n);
/// Restricts this process to processors.
void stay_on(const std::vector<int>& cores);

}  // namespace evenkeel::bench
