#include "evenkeel/sweep/trainer_server.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "evenkeel/base/error.h"
#include "evenkeel/base/json.h"

namespace evenkeel::sweep {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience(60);  // with loading LibTorch
constexpr std::chrono::seconds kAnswer(5);     // with a fork, which takes milliseconds

bool is_readable(int channel, std::chrono::milliseconds patience) {
  pollfd descriptor{channel, POLLIN, 0};
  return ::poll(&descriptor, 1, static_cast<int>(patience.count())) > 0;
}

/// The next message; no object when the server has ended or talks nonsense.
Json receive(int channel) {
  std::array<char, 1 << 14> text;
  const ssize_t size = ::recv(channel, text.data(), text.size(), MSG_DONTWAIT);
  return Json::parse(text.data(), text.data() + std::max<ssize_t>(size, 0), nullptr, false);
}

}  // namespace

TrainerServer::TrainerServer(fs::path trainer, SignalGate& gate)
    : trainer_(std::move(trainer)), gate_(gate) {}

TrainerServer::~TrainerServer() {
  give_up();
}

void TrainerServer::load() {
  int ends[2];
  // As the reaper of what its descendants leave, this process becomes the parent of the trainers.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return;
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
  channel_ = ends[0];
  give_up_at_ = Clock::now() + kPatience;
  try {
    // One thread: a library that starts its threads when it is loaded could not be forked.
    // What is wrong with a trainer that cannot serve, its first direct start will tell; hence no log.
    server_ =
        start_process({{trainer_.string(), "serve"}, trainer_environment(1), "/dev/null", ends[1]}, gate_);
  } catch (const EnvironmentError&) {
    give_up();
  }
  ::close(ends[1]);
}

bool TrainerServer::loading() {
  if (channel_ < 0 || ready_) return false;
  if (is_readable(channel_, {})) {
    const Json greeting = receive(channel_);
    ready_ = greeting.is_object() && greeting.contains("ready");
    if (!ready_) give_up();
    return false;
  }
  if (Clock::now() > give_up_at_) give_up();
  return channel_ >= 0;
}

pid_t TrainerServer::start(const fs::path& run, std::int64_t threads) {
  if (ready_) {
    const std::string& request = run.native();
    const bool sent = ::send(channel_, request.data(), request.size(), MSG_NOSIGNAL) >= 0;
    const auto until = Clock::now() + kAnswer;
    bool stops = false;
    while (sent && !stops && !is_readable(channel_, {}) && Clock::now() < until)
      stops = gate_.is_asked_to_stop(std::chrono::duration<double>(until - Clock::now()).count(), channel_);
    // A server that is dead says nothing more, so what it has said by then is the last word.
    if (!is_readable(channel_, {})) kill_server();
    const Json reply = receive(channel_);
    if (reply.is_object() && reply.contains("process")) return reply["process"].get<pid_t>();
    if (reply.is_object() && reply.contains("error")) {
      throw EnvironmentError(reply["error"].get<std::string>());
    }
    give_up();
    if (stops) return 0;
  }
  return start_process(trainer_command(trainer_, run, threads), gate_);
}

void TrainerServer::give_up() {
  if (channel_ < 0) return;
  ::close(channel_);
  channel_ = -1;
  ready_ = false;
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  kill_server();
}

void TrainerServer::kill_server() {
  if (server_ > 0) {
    send_signal(server_, SIGKILL);
    while (::waitpid(server_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  server_ = 0;
}

}  // namespace evenkeel::sweep
