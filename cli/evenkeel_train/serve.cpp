#include "cli/evenkeel_train/serve.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iterator>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/json.h"
#include "evenkeel/ops/threads.h"

namespace evenkeel::cli {
namespace {

constexpr int kChannel = STDIN_FILENO;

bool tell(const Json& message) {
  const std::string text = json_text(message);
  return ::send(kChannel, text.data(), text.size(), MSG_NOSIGNAL) >= 0;
}

// A fork copies the calling thread only. LibTorch's thread pool starts with a thread per core and shrinks to
// what set_threads() says, and threads just joined are listed a moment longer.
void require_one_thread() {
  constexpr int kWaits = 1000;
  for (int wait = 0; std::distance(fs::directory_iterator("/proc/self/task"), fs::directory_iterator()) != 1;
       ++wait) {
    if (wait == kWaits) {
      throw EnvironmentError("LibTorch runs threads that a forked trainer would not have; use `run DIR`");
    }
    ::usleep(1000);
  }
}

// In the new process: waits until the one between is gone, then makes sure to die with the sweep.
void become_child_of(pid_t sweep, pid_t between) {
  while (::getppid() == between) ::usleep(100);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != sweep) ::_exit(128 + SIGKILL);
}

// Forks twice: when the process between ends, its child falls to the sweep, the reaper of its descendants.
// Returns the id of the new process, 0 in it, and -errno when there is none.
pid_t fork_for(pid_t sweep) {
  int report[2];
  if (::pipe(report) != 0) return -errno;
  const pid_t between = ::fork();
  if (between == 0) {
    const pid_t self = ::getpid();
    pid_t trainer = ::fork();
    if (trainer == 0) {
      ::setpgid(0, 0);
      ::close(report[0]);
      ::close(report[1]);
      become_child_of(sweep, self);
      return 0;
    }
    if (trainer < 0) trainer = -errno;
    if (trainer > 0) ::setpgid(trainer, trainer);  // here too, so that a signal sent at once finds the group
    ::_exit(::write(report[1], &trainer, sizeof trainer) == sizeof trainer ? 0 : 1);
  }
  pid_t trainer = -errno;
  ::close(report[1]);
  if (between > 0) {
    if (::read(report[0], &trainer, sizeof trainer) != sizeof trainer) trainer = -ECHILD;
    while (::waitpid(between, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  ::close(report[0]);
  return trainer;
}

// Opens the log and forks; in the new process, with its input and output where they belong, returns 0.
pid_t start(const fs::path& log, pid_t sweep) {
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (out < 0) throw EnvironmentError(explain_errno("write", log, errno));
  const pid_t trainer = fork_for(sweep);
  if (trainer == 0) {
    const int nothing = ::open("/dev/null", O_RDONLY);
    ::dup2(nothing, kChannel);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    ::close(nothing);
  }
  ::close(out);
  if (trainer < 0) {
    throw EnvironmentError(std::string("cannot start a process: ") + std::strerror(-trainer) +
                           "; use fewer --jobs");
  }
  return trainer;
}

// In a new process: waits until the sweep has been told of it. False when that will not happen.
bool is_known(const int go[2]) {
  ::close(go[1]);
  char byte = 0;
  const bool known = ::read(go[0], &byte, 1) == 1;
  ::close(go[0]);
  return known;
}

}  // namespace

int serve(const std::function<int(const std::string&)>& run) {
  const pid_t sweep = ::getppid();
  int kind = 0;
  socklen_t size = sizeof kind;
  if (::getsockopt(kChannel, SOL_SOCKET, SO_TYPE, &kind, &size) != 0 || kind != SOCK_SEQPACKET) {
    throw InputError("`evenkeel-train serve` is for `evenkeel sweep` to start; use `evenkeel-train run DIR`");
  }
  ops::set_threads(1);
  require_one_thread();
  if (!tell({{"ready", true}})) return kExitFinished;
  std::array<char, 1 << 14> text;
  for (;;) {
    const ssize_t length = ::recv(kChannel, text.data(), text.size(), 0);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) return kExitFinished;
    const std::string directory(text.data(), static_cast<std::size_t>(length));
    Json answer;
    int go[2] = {-1, -1};
    try {
      if (::pipe(go) != 0)
        throw EnvironmentError(std::string("cannot start a process: ") + std::strerror(errno));
      const pid_t trainer = start(fs::path(directory) / "log.txt", sweep);
      if (trainer == 0) {
        if (!is_known(go)) ::_exit(kExitInterrupted);
        const int code = run(directory);
        std::fflush(nullptr);
        ::_exit(code);  // what is registered for the end of this program is the server's
      }
      answer = {{"process", trainer}};
    } catch (const EnvironmentError& e) {
      answer = {{"error", e.what()}};
    }
    const bool told = tell(answer);
    if (told && ::write(go[1], "", 1) < 0) return kExitEnvironment;
    for (const int end : go) ::close(end);
    if (!told) return kExitFinished;
  }
}

}  // namespace evenkeel::cli
