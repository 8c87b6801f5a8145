#include "evenkeel/runs/run_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <system_error>
#include <utility>

#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/runs/json_fields.h"
#include "evenkeel/runs/records.h"
#include "evenkeel/runs/summary.h"

namespace evenkeel::runs {
namespace {

constexpr const char* kLock = ".lock";
constexpr const char* kMetrics = "metrics.jsonl";
constexpr const char* kHeads = "heads.jsonl";
constexpr const char* kEvents = "events.jsonl";
constexpr const char* kTiming = "timing.jsonl";

bool there(const fs::path& file) {
  std::error_code error;
  return fs::exists(file, error);
}

const fs::path& made(const fs::path& folder) {
  make_folder(folder);
  return folder;
}

// What stands before the offsets must be whole lines, or the resumed files would differ from uninterrupted
// ones. Says what is not; "" when all is.
std::string damage_before(const fs::path& run, const LineOffsets& offsets) {
  for (const auto& [name, offset] :
       {std::pair{kMetrics, offsets.metrics}, {kHeads, offsets.heads}, {kEvents, offsets.events}}) {
    std::uint64_t valid = 0;
    read_records(run / name, &valid);
    if (valid < offset) {
      return fmt::format("{} is damaged at byte {}, before byte {} where the checkpoint goes on",
                         (run / name).string(), valid, offset);
    }
  }
  return "";
}

[[noreturn]] void refuse(const std::string& damage) {
  throw InputError(damage + "; delete the run's folder and run again");
}

}  // namespace

RunLock::RunLock(const fs::path& run)
    : run_(run), lock_(made(run_) / kLock, "another process is training " + run.string()) {}

bool is_being_written(const fs::path& run) {
  const int fd = ::open((run / kLock).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool held = ::flock(fd, LOCK_SH | LOCK_NB) != 0;
  ::close(fd);
  return held;
}

Standing standing(const fs::path& run, const std::string& config_hash) {
  const fs::path file = run / "manifest.json";
  if (!there(file)) return Standing::kAbsent;
  const Json manifest = read_json(file);
  const JsonFields fields(manifest, file.string());
  if (fields.has("imported")) {
    throw InputError(run.string() + " holds an imported run, which cannot be trained; choose another --out");
  }
  if (const std::string found = fields.text("config_hash"); found != config_hash) {
    throw InputError(
        fmt::format("{} holds a run of another configuration (hash {}, this one is {}); choose another "
                    "--out, or delete that folder",
                    run.string(), found, config_hash));
  }
  return there(run / "result.json") ? Standing::kFinished : Standing::kInProgress;
}

std::optional<FoundCheckpoint> find_resumable(const RunLock& lock, std::vector<std::string>& warnings) {
  const fs::path& run = lock.run();
  restore_replaced(run);
  const std::vector<fs::path> folders = list_checkpoints(run);
  std::string first_damage;
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    std::string why;
    try {
      CheckpointState state = read_checkpoint_state(*folder);
      why = damage_before(run, state.offsets);
      if (why.empty()) return FoundCheckpoint{*folder, std::move(state)};
      if (first_damage.empty()) first_damage = why;
    } catch (const std::runtime_error& e) {
      why = e.what();
    }
    warnings.push_back(fmt::format("passing over checkpoint {}: {}", folder->filename().string(), why));
  }
  if (!first_damage.empty()) refuse(first_damage);
  return std::nullopt;
}

RunWriter::RunWriter(const fs::path& run, const LineOffsets& keep, std::uint64_t keep_timing)
    : run_(run),
      metrics_(std::make_unique<telemetry::JsonlSink>(run / kMetrics, keep.metrics)),
      heads_(std::make_unique<telemetry::JsonlSink>(run / kHeads, keep.heads)),
      events_(std::make_unique<telemetry::JsonlSink>(run / kEvents, keep.events)),
      timing_(std::make_unique<telemetry::JsonlSink>(run / kTiming, keep_timing)) {}

RunWriter RunWriter::start(const RunLock& lock, const Manifest& manifest) {
  const fs::path& run = lock.run();
  if (standing(run, manifest.config_hash) == Standing::kFinished) {
    throw InputError(run.string() +
                     " holds a finished run of this configuration; choose another --out, or delete it");
  }
  discard_checkpoints_after(run, -1);
  write_manifest(run, manifest);
  return RunWriter(run, {}, 0);
}

RunWriter RunWriter::resume(const RunLock& lock, const CheckpointState& state) {
  const fs::path& run = lock.run();
  standing(run, state.config_hash);
  if (const std::string damage = damage_before(run, state.offsets); !damage.empty()) refuse(damage);
  discard_checkpoints_after(run, state.step);
  std::uint64_t timing = 0;
  read_records(run / kTiming, &timing);
  return RunWriter(run, state.offsets, timing);
}

LineOffsets RunWriter::offsets() const {
  return {metrics_->offset(), heads_->offset(), events_->offset()};
}

void RunWriter::sync() {
  for (const auto& sink : {&metrics_, &heads_, &events_, &timing_}) (*sink)->sync();
}

void RunWriter::finish(Result result) {
  if (Json median = median_step(run_); !median.is_null()) {
    median["step"] = result.steps;
    timing(median);
  }
  sync();
  result.digest = Json::object();
  for (const char* name : {kMetrics, kHeads, kEvents}) result.digest[name] = file_hash(run_ / name);
  write_summary(run_, result);
  write_result(run_, result);
}

}  // namespace evenkeel::runs
