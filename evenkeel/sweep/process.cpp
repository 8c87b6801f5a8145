#include "evenkeel/sweep/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/process_setup.h"

namespace evenkeel::sweep {
namespace {

[[noreturn]] void die_in_child(const char* program) {
  const char* reason = std::strerror(errno);
  for (const char* text : {"cannot execute ", program, ": ", reason, "\n"}) {
    if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) break;
  }
  ::_exit(127);
}

ExitStatus status_from(int raw) {
  if (WIFSIGNALED(raw)) return {128 + WTERMSIG(raw), WTERMSIG(raw)};
  return {WEXITSTATUS(raw), 0};
}

bool is_address_space_limited() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

/// What the end of a trainer suggests about the machine; "" when nothing.
std::string_view hint_of(const ExitStatus& status) {
  if (status.signal == SIGKILL) return "perhaps the machine ran out of memory";
  // A program that does not get the memory it needs to start is refused by the loader, or aborts.
  if (is_address_space_limited() && (status.signal == SIGABRT || status.code == 127))
    return "most likely for want of memory: raise the limit (ulimit -v) or use a smaller model";
  return "";
}

}  // namespace

SignalGate::SignalGate() {
  sigset_t taken;
  sigemptyset(&taken);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&taken, signal);
  if (!is_ignored(SIGHUP)) sigaddset(&taken, SIGHUP);
  ::sigprocmask(SIG_BLOCK, &taken, &outside_);
  fd_ = ::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd_ < 0) {
    const int error = errno;
    ::sigprocmask(SIG_SETMASK, &outside_, nullptr);
    throw EnvironmentError(std::string("cannot wait for signals: ") + std::strerror(error) +
                           "; too many open files?");
  }
}

SignalGate::~SignalGate() {
  ::close(fd_);
  ::sigprocmask(SIG_SETMASK, &outside_, nullptr);
}

int SignalGate::wait(double seconds, int readable) {
  is_asked_to_stop(seconds, readable);
  return std::exchange(stops_, 0);
}

bool SignalGate::is_asked_to_stop(double seconds, int readable) {
  pollfd descriptors[] = {{fd_, POLLIN, 0}, {readable, POLLIN, 0}};  // poll() passes over -1
  ::poll(descriptors, 2, static_cast<int>(std::ceil(std::max(seconds, 0.0) * 1000)));
  signalfd_siginfo info{};
  while (::read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo != SIGCHLD) ++stops_;
  }
  return stops_ > 0;
}

std::map<std::string, std::string> trainer_environment(std::int64_t threads) {
  const std::string count = std::to_string(threads);
  std::map<std::string, std::string> environment{{"OMP_NUM_THREADS", count}, {"OPENBLAS_NUM_THREADS", count}};
  const auto is_set = [](const char* name) { return std::getenv(name) != nullptr; };
  if (!is_set("GOMP_SPINCOUNT") && !is_set("OMP_WAIT_POLICY")) environment["GOMP_SPINCOUNT"] = "20000";
  return environment;
}

Command trainer_command(const fs::path& trainer, const fs::path& run, std::int64_t threads) {
  return {{trainer.string(), "run", run.string()}, trainer_environment(threads), run / "log.txt"};
}

int run_trainer(const std::vector<std::string>& arguments, std::int64_t threads) {
  const fs::path trainer = find_trainer();
  for (const auto& [name, value] : trainer_environment(threads)) ::setenv(name.c_str(), value.c_str(), 1);
  std::vector<std::string> texts{trainer.string()};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> words;
  for (std::string& text : texts) words.push_back(text.data());
  words.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) throw EnvironmentError(fmt::format("cannot start a process: {}", std::strerror(errno)));
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(128 + SIGKILL);
    ::execv(words.front(), words.data());
    die_in_child(words.front());
  }
  int raw = 0;
  while (::waitpid(child, &raw, 0) < 0 && errno == EINTR) {
  }
  const ExitStatus status = status_from(raw);
  const int code = exit_code_of(status);
  if (status.signal == 0 && code == status.code) return code;
  const std::string sentence = failure_sentence(status, {}, 0);
  if (code == kExitEnvironment) throw EnvironmentError(sentence);
  throw std::runtime_error(sentence);
}

pid_t start_process(const Command& command, const SignalGate& gate) {
  // Everything that allocates happens before the fork.
  std::vector<std::string> texts;
  for (char** entry = environ; *entry; ++entry) {
    const std::string text(*entry);
    if (!command.environment.count(text.substr(0, text.find('=')))) texts.push_back(text);
  }
  for (const auto& [name, value] : command.environment) texts.push_back(name + "=" + value);
  std::vector<char*> environment, words;
  for (std::string& text : texts) environment.push_back(text.data());
  environment.push_back(nullptr);
  std::vector<std::string> arguments = command.words;
  for (std::string& word : arguments) words.push_back(word.data());
  words.push_back(nullptr);

  const int log = ::open(command.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (log < 0) throw EnvironmentError(explain_errno("write", command.log, errno));
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    const int error = errno;
    ::close(log);
    throw EnvironmentError(std::string("cannot start a process: ") + std::strerror(error) +
                           "; use fewer --jobs");
  }
  if (child == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(128 + SIGKILL);  // the sweep died before the line above
    ::sigprocmask(SIG_SETMASK, &gate.outside(), nullptr);
    ::dup2(command.input >= 0 ? command.input : ::open("/dev/null", O_RDONLY), STDIN_FILENO);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::execve(words[0], words.data(), environment.data());
    die_in_child(words[0]);
  }
  ::close(log);
  ::setpgid(child, child);  // here too, so that a signal sent at once finds the group
  return child;
}

bool has_ended(pid_t process, ExitStatus& status) {
  int raw = 0;
  pid_t found = 0;
  do found = ::waitpid(process, &raw, WNOHANG);
  while (found < 0 && errno == EINTR);
  status = {};
  if (found < 0) status.known = false;  // ECHILD
  if (found != process) return found < 0;
  status = status_from(raw);
  return true;
}

void send_signal(pid_t process, int signal) {
  if (process <= 1) return;  // kill() would take it for "everybody"
  if (::kill(-process, signal) != 0) ::kill(process, signal);
}

std::string last_line(const fs::path& log, std::uint64_t from) {
  std::ifstream in(log, std::ios::binary);
  std::error_code absent;
  const auto size = fs::file_size(log, absent);
  if (absent) return "";
  constexpr std::uint64_t kTail = 8192;
  if (size > kTail) from = std::max(from, size - kTail);
  in.seekg(static_cast<std::streamoff>(from));
  std::string last;
  for (std::string line; std::getline(in, line);) {
    if (line.find_first_not_of(" \t\r") != std::string::npos) last = line;
  }
  return last;
}

int exit_code_of(const ExitStatus& status) {
  if (!status.known) return kExitCellsCrashed;
  if (status.code == 126 || status.code == 127 || !hint_of(status).empty()) return kExitEnvironment;
  return status.signal != 0 ? kExitCellsCrashed : status.code;
}

std::string failure_sentence(const ExitStatus& status, const fs::path& log, std::uint64_t from) {
  const std::string_view hint = hint_of(status);
  if (status.signal != 0) {
    return fmt::format("the trainer was killed by signal {}, {}{}", status.signal, ::strsignal(status.signal),
                       hint.empty() ? "" : fmt::format(" ({})", hint));
  }
  std::string line = last_line(log, from);
  constexpr std::string_view kName = "evenkeel-train: ";
  if (line.rfind(kName, 0) == 0) line.erase(0, kName.size());
  if (!line.empty()) return hint.empty() ? line : fmt::format("{} ({})", line, hint);
  if (!status.known) return "the trainer ended, nobody saw how, and it left no result";
  if (status.code == kExitEnvironment) {
    return fmt::format(
        "the trainer could not write to {}, not even its reason: most likely the disk is full or writing is "
        "not permitted; free some space there and run the same command again",
        log.parent_path().string());
  }
  if (!hint.empty()) return fmt::format("the trainer could not be started, {}", hint);
  return fmt::format("the trainer ended with code {} and said nothing", status.code);
}

int usable_cores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  int cores = ::sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 1;
  std::string quota;
  double period = 0;
  std::ifstream limit("/sys/fs/cgroup/cpu.max");
  if (limit >> quota >> period && quota != "max" && period > 0) {
    cores = std::min(cores, static_cast<int>(std::ceil(std::strtod(quota.c_str(), nullptr) / period)));
  }
  return std::max(cores, 1);
}

fs::path find_trainer() {
  const char* named = std::getenv("EVENKEEL_TRAIN");
  std::error_code unknown;
  const fs::path trainer = named && *named
                               ? fs::absolute(named)
                               : fs::read_symlink("/proc/self/exe", unknown).parent_path() / "evenkeel-train";
  if (::access(trainer.c_str(), X_OK) == 0 && !fs::is_directory(trainer)) return trainer;
  throw EnvironmentError(
      "cannot execute the trainer " + trainer.string() +
      "; build evenkeel-train (it needs LibTorch), or name it in the environment variable EVENKEEL_TRAIN");
}

}  // namespace evenkeel::sweep
