// Child processes of a sweep: started in a process group of their own (so that Ctrl-C reaches the sweep
// alone, which then asks them to stop), killed by the kernel when the sweep itself is killed.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace evenkeel::sweep {

namespace fs = std::filesystem;

/// While it lives, SIGINT, SIGTERM, SIGHUP and SIGCHLD are taken as messages through wait() instead of
/// interrupting. A SIGHUP that was ignored (`nohup`) stays so.
class SignalGate {
 public:
  SignalGate();
  ~SignalGate();
  SignalGate(const SignalGate&) = delete;
  SignalGate& operator=(const SignalGate&) = delete;

  /// Sleeps until a signal arrives, `seconds` have passed or `readable` (a descriptor; -1: none) has
  /// something to read; returns how many requests to stop came since the last call.
  int wait(double seconds, int readable = -1);
  /// The same; the requests are left for wait() to return. True when there are any.
  bool is_asked_to_stop(double seconds, int readable = -1);
  /// The mask that children get back.
  const sigset_t& outside() const { return outside_; }

 private:
  sigset_t outside_{};
  int fd_ = -1;
  int stops_ = 0;  // come and not yet returned by wait()
};

struct ExitStatus {
  int code = 0;       ///< exit code, or 128 + signal
  int signal = 0;     ///< 0: it ended by itself
  bool known = true;  ///< false: it ended unseen, and only the run directory tells how
};

struct Command {
  std::vector<std::string> words;                  ///< program and its arguments
  std::map<std::string, std::string> environment;  ///< added to the present one
  fs::path log;                                    ///< standard output and error are appended here
  int input = -1;                                  ///< descriptor that becomes standard input; -1: empty
};

/// What a trainer needs in its environment for so many threads, as OpenMP and OpenBLAS read it before its
/// main function runs. A thread of OpenMP that waits (LibTorch's own loops; ours are kernels/parallel.h) is
/// not to spin for milliseconds, during which nobody else gets its core; a setting that is there stays.
std::map<std::string, std::string> trainer_environment(std::int64_t threads);

/// `TRAINER run RUN`, on so many threads, with its log in the run's folder.
Command trainer_command(const fs::path& trainer, const fs::path& run, std::int64_t threads);

/// Starts `command`. Throws EnvironmentError when no process can be made; a program that cannot be executed
/// ends with code 127 and a sentence in the log.
pid_t start_process(const Command& command, const SignalGate& gate);
/// True, with `status`, when the process has ended. One that is no child of ours has ended too, or never was.
bool has_ended(pid_t process, ExitStatus& status);
/// Sends `signal` to the process and everything it started.
void send_signal(pid_t process, int signal);

/// Last non-empty line of `log` from byte `from` on; "" when there is none.
std::string last_line(const fs::path& log, std::uint64_t from);

/// The exit code of base/error.h for a command whose trainer failed like this.
int exit_code_of(const ExitStatus& status);

/// Why a trainer failed: the last line it wrote to `log` from byte `from` on without the program's name in
/// front, else what its end tells.
std::string failure_sentence(const ExitStatus& status, const fs::path& log, std::uint64_t from);

/// Processors this process may use: its affinity mask, and a whole-number bandwidth limit of its control
/// group.
int usable_cores();

/// The trainer: $EVENKEEL_TRAIN, else `evenkeel-train` beside the running program. Throws EnvironmentError
/// when there is none.
fs::path find_trainer();

/// Runs the trainer with these arguments, on so many threads and with this process's input and output: for
/// commands that only it can do. Returns the command's exit code. Throws EnvironmentError when it cannot be
/// executed.
int run_trainer(const std::vector<std::string>& arguments, std::int64_t threads);

}  // namespace evenkeel::sweep
