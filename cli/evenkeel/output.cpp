#include "cli/evenkeel/output.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "evenkeel/base/error.h"
#include "evenkeel/base/printable.h"

namespace evenkeel::cli {

void write_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size()) return;
  if (errno == EPIPE) {  // as check_written() says
    std::signal(SIGPIPE, SIG_DFL);
    std::raise(SIGPIPE);
  }
  throw EnvironmentError(fmt::format("cannot write to standard output: {}; what was printed is not all there",
                                     std::strerror(errno)));
}

void write_err(std::string_view text) noexcept {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void tell_damage(const std::vector<std::string>& sentences) {
  constexpr std::size_t kTold = 20;
  const std::size_t told = std::min(kTold, sentences.size());
  for (std::size_t i = 0; i < told; ++i) print_err("evenkeel: {}\n", printable(sentences[i]));
  if (told < sentences.size())
    print_err("evenkeel: {} more files are damaged; `evenkeel verify` names them\n", sentences.size() - told);
}

}  // namespace evenkeel::cli
