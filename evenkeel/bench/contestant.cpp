#include "evenkeel/bench/contestant.h"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "evenkeel/base/error.h"

namespace evenkeel::bench {
namespace {

/// In the child, which shares nothing that could be locked: the referee has one thread.
[[noreturn]] void become(const Command& command, int socket, int messages, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(128 + SIGKILL);
  for (const auto& [name, value] : command.environment) ::setenv(name.c_str(), value.c_str(), 1);
  if (!command.cores.empty()) stay_on(command.cores);
  ::dup2(socket, STDIN_FILENO);
  ::dup2(socket, STDOUT_FILENO);
  ::dup2(messages, STDERR_FILENO);
  std::vector<std::string> arguments = command.words;
  std::vector<char*> words;
  for (std::string& word : arguments) words.push_back(word.data());
  words.push_back(nullptr);
  ::execvp(words[0], words.data());
  const std::string sentence = fmt::format("cannot execute {}: {}\n", words[0], std::strerror(errno));
  if (::write(STDERR_FILENO, sentence.data(), sentence.size()) < 0) ::_exit(126);
  ::_exit(127);
}

std::string last_line_of(int file) {
  std::string text(8192, '\0');
  const off_t size = ::lseek(file, 0, SEEK_END);
  const off_t from = std::max<off_t>(0, size - static_cast<off_t>(text.size()));
  const ssize_t got = ::pread(file, text.data(), text.size(), from);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

Contestant::Contestant(const Command& command) : name_(command.words.at(0)) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw EnvironmentError(fmt::format("cannot make a pair of sockets: {}", std::strerror(errno)));
  socket_ = ends[0];
  messages_ = ::memfd_create("messages", MFD_CLOEXEC);
  const pid_t parent = ::getpid();
  process_ = ::fork();
  if (process_ == 0) become(command, ends[1], messages_, parent);
  ::close(ends[1]);
  if (process_ < 0) throw EnvironmentError(fmt::format("cannot start a process: {}", std::strerror(errno)));
}

Contestant::Contestant(Contestant&& other) noexcept
    : name_(std::move(other.name_)),
      process_(std::exchange(other.process_, -1)),
      socket_(std::exchange(other.socket_, -1)),
      messages_(std::exchange(other.messages_, -1)),
      received_(std::move(other.received_)) {}

Contestant::~Contestant() {
  if (process_ > 0) {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  for (const int file : {socket_, messages_})
    if (file >= 0) ::close(file);
}

void Contestant::ended() {
  int status = 0;
  ::waitpid(std::exchange(process_, -1), &status, 0);
  const std::string said = last_line_of(messages_);
  if (WIFSIGNALED(status)) {
    throw ContestantError(
        fmt::format("{} was killed by signal {}, {}{}", name_, WTERMSIG(status),
                    ::strsignal(WTERMSIG(status)), said.empty() ? "" : "; it had said: " + said),
        128 + WTERMSIG(status));
  }
  throw ContestantError(
      said.empty() ? fmt::format("{} ended with code {} and said nothing", name_, WEXITSTATUS(status)) : said,
      WEXITSTATUS(status));
}

void Contestant::send(const Json& request) {
  const std::string text = json_text(request) + "\n";
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = ::send(socket_, text.data() + done, text.size() - done, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;  // it has ended: receive says why
    done += static_cast<std::size_t>(n);
  }
}

Json Contestant::receive() {
  std::size_t end = 0;
  while ((end = received_.find('\n')) == std::string::npos) {
    char block[4096];
    const ssize_t n = ::recv(socket_, block, sizeof block, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) ended();
    received_.append(block, static_cast<std::size_t>(n));
  }
  const std::string line = received_.substr(0, end);
  received_.erase(0, end + 1);
  Json answer = Json::parse(line, nullptr, false);
  if (!answer.is_object())
    throw ContestantError(fmt::format("{} answered \"{}\", which is no JSON object", name_, line));
  try {
    answer = restore_nonfinite(std::move(answer), name_);
  } catch (const InputError& error) {
    throw ContestantError(error.what());
  }
  if (answer.contains("error")) throw ContestantError(answer.value("error", "it gave no reason"));
  return answer;
}

Json Contestant::ask(const Json& request) {
  send(request);
  return receive();
}

void stay_on(const std::vector<int>& cores) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (const int core : cores) CPU_SET(static_cast<std::size_t>(core), &mask);
  ::sched_setaffinity(0, sizeof mask, &mask);
}

std::vector<int> first_cores(int n) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  std::vector<int> cores;
  if (::sched_getaffinity(0, sizeof mask, &mask) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE && static_cast<int>(cores.size()) < n; ++core)
    if (CPU_ISSET(static_cast<std::size_t>(core), &mask)) cores.push_back(core);
  return cores;
}

}  // namespace evenkeel::bench
