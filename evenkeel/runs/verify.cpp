#include "evenkeel/runs/verify.h"

#include <fmt/format.h>

#include <array>
#include <functional>
#include <string_view>

#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/runs/checkpoint.h"
#include "evenkeel/runs/records.h"

namespace evenkeel::runs {
namespace {

constexpr std::array kLineFiles{"metrics.jsonl", "heads.jsonl", "events.jsonl", "timing.jsonl"};

std::string damage_of(const std::function<void()>& read) {
  try {
    read();
    return "";
  } catch (const InputError& e) {
    return e.what();
  } catch (const EnvironmentError& e) {
    return e.what();
  }
}

/// `digest` is the content hash that the result names; "" when there is none.
std::string damage_of_lines(const fs::path& file, bool ended, const std::string& digest) {
  std::error_code error;
  if (!fs::exists(file, error))
    return digest.empty() ? "" : fmt::format("{} is missing, though the run ended with it", file.string());
  const std::string content = read_file(file);
  if (!digest.empty() && content_hash(content) == digest) return "";
  std::size_t lines = 0, invalid = 0, first = 0;
  for (std::size_t at = 0; at < content.size(); ++lines) {
    const std::size_t end = content.find('\n', at);
    const bool torn = end == std::string::npos;
    if (torn && !ended) break;
    const std::string_view line = std::string_view(content).substr(at, end - at);
    if ((torn || !decode_record(line)) && invalid++ == 0) first = lines + 1;
    at = torn ? content.size() : end + 1;
  }
  if (invalid > 0) {
    return fmt::format("{} is damaged: line {} of {} does not check{}; what stood there is left out",
                       file.string(), first, lines,
                       invalid > 1 ? fmt::format(", nor do {} others", invalid - 1) : "");
  }
  if (digest.empty()) return "";
  return fmt::format(
      "{} is not what the run wrote: every line checks, but lines are missing or were added; restore the "
      "file",
      file.string());
}

std::string digest_of(const std::optional<Result>& result, const char* name) {
  return result && result->digest.is_object() ? result->digest.value(name, "") : "";
}

}  // namespace

std::vector<std::string> line_file_damage(const fs::path& run, const std::optional<Result>& result) {
  std::vector<std::string> damage;
  for (const char* name : kLineFiles) {
    std::string sentence = damage_of_lines(run / name, result.has_value(), digest_of(result, name));
    if (!sentence.empty()) damage.push_back(std::move(sentence));
  }
  return damage;
}

std::vector<CheckedFile> verify_run(const fs::path& run) {
  std::vector<CheckedFile> files;
  files.push_back({run / "manifest.json", damage_of([&] {
                     read_manifest(run);
                     check_environment(run);
                   })});
  std::optional<Result> result;
  const std::string damage = damage_of([&] { result = read_result(run); });
  if (fs::exists(run / "result.json")) files.push_back({run / "result.json", damage});
  for (const char* name : kLineFiles) {
    const std::string digest = digest_of(result, name);
    if (digest.empty() && !fs::exists(run / name)) continue;
    CheckedFile file{run / name, ""};
    std::string unreadable =
        damage_of([&] { file.damage = damage_of_lines(run / name, result.has_value(), digest); });
    if (!unreadable.empty()) file.damage = std::move(unreadable);
    files.push_back(std::move(file));
  }
  if (const fs::path summary = run / "summary.jsonl"; fs::exists(summary)) {
    CheckedFile file{summary, ""};
    std::string unreadable = damage_of([&] { file.damage = damage_of_lines(summary, true, ""); });
    if (!unreadable.empty()) file.damage = std::move(unreadable);
    files.push_back(std::move(file));
  }
  for (const fs::path& folder : list_checkpoints(run))
    files.push_back({folder, damage_of([&] { read_checkpoint_state(folder); })});
  return files;
}

}  // namespace evenkeel::runs
