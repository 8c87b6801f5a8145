#include "evenkeel/base/process_setup.h"

#include <fcntl.h>

#include <cerrno>
#include <csignal>
#include <initializer_list>

namespace evenkeel {

void set_up_process() {
  for (const int descriptor : {0, 1, 2}) {
    // open() gives the lowest number that is free, and those below are not.
    if (::fcntl(descriptor, F_GETFD) < 0 && errno == EBADF && ::open("/dev/null", O_RDONLY) < 0) break;
  }
  std::signal(SIGCHLD, SIG_DFL);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace evenkeel
