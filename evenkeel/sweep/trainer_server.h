// A trainer that has loaded LibTorch once and forks one trainer process per run: `TRAINER serve`.
//
// Standard input of the server is a socket with message boundaries (SOCK_SEQPACKET). The server says
// {"ready": true} when it has loaded. A request is the path of a run directory; {"process": ID} or
// {"error": SENTENCE} answers it. The new process trains as `TRAINER run DIR` would, with its output appended
// to DIR/log.txt, once the answer is sent: a server that is killed before leaves no trainer behind that
// nobody knows. It becomes a child of the one who asks, not of the server: waiting for it, signals to it
// and its death with the sweep are those of any other child, and a server that dies takes no trainer along.
//
// A trainer that does not know `serve`, or a server that ended, costs time only: processes are then started
// directly.
#pragma once

#include <chrono>

#include "evenkeel/sweep/process.h"

namespace evenkeel::sweep {

class TrainerServer {
 public:
  /// `gate` outlives this.
  TrainerServer(fs::path trainer, SignalGate& gate);
  ~TrainerServer();
  TrainerServer(const TrainerServer&) = delete;
  TrainerServer& operator=(const TrainerServer&) = delete;

  /// Starts the server, which gets ready on its own; until this is called, start() starts directly.
  void load();
  /// True while the server gets ready; never for longer than a minute. channel() becomes readable when it is
  /// done.
  bool loading();
  int channel() const { return channel_; }

  /// Starts a trainer of `run`; 0 when this process was asked to stop before the server had answered. A
  /// server that does not answer within seconds is given up. Throws EnvironmentError when no process can be
  /// made or its log cannot be written.
  pid_t start(const fs::path& run, std::int64_t threads);

 private:
  void give_up();
  void kill_server();

  fs::path trainer_;
  SignalGate& gate_;
  int channel_ = -1;  // -1: there is no server
  pid_t server_ = 0;
  bool ready_ = false;
  std::chrono::steady_clock::time_point give_up_at_;
};

}  // namespace evenkeel::sweep
