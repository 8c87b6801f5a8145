#include "evenkeel/runs/records.h"

#include <algorithm>
#include <system_error>

#include "evenkeel/base/error.h"

namespace evenkeel::runs {
namespace {

// Runs hold no runs, so the walk stops at each; links are not followed, so it ends.
void walk(const fs::path& folder, std::vector<fs::path>& out) {
  std::error_code error;
  if (fs::is_regular_file(folder / "manifest.json", error)) {
    out.push_back(folder);
    return;
  }
  for (fs::directory_iterator it(folder, fs::directory_options::skip_permission_denied, error), end;
       !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_directory(ignored) && !it->is_symlink(ignored)) walk(it->path(), out);
  }
}

}  // namespace

std::vector<Json> read_records(const fs::path& file, std::uint64_t* valid_bytes) {
  std::vector<Json> records;
  for_each_record(
      file, [&](Json&& record) { records.push_back(std::move(record)); }, valid_bytes);
  return records;
}

void for_each_record(const fs::path& file, const std::function<void(Json&&)>& use,
                     std::uint64_t* valid_bytes) {
  if (valid_bytes) *valid_bytes = 0;
  std::error_code error;
  if (!fs::exists(file, error)) return;
  const std::string content = read_file(file);
  bool whole = true;
  for (std::size_t at = 0; at < content.size();) {
    const std::size_t end = content.find('\n', at);
    if (end == std::string::npos) break;  // torn: a whole line ends in a newline
    auto record = decode_record(std::string_view(content).substr(at, end - at));
    at = end + 1;
    whole = whole && record.has_value();
    if (record) use(std::move(*record));
    if (whole && valid_bytes) *valid_bytes = at;
  }
}

void add_scalar(Series& series, const Json& record, const std::string& key) {
  const auto value = record.find(key);
  if (value == record.end() || value->is_array() || !record.contains("step")) return;
  series.values.push_back(number_from_json(*value, key));
  series.steps.push_back(integer_from_json(record.at("step"), "step"));
}

Series scalar_series(const std::vector<Json>& records, const std::string& key) {
  Series series;
  for (const Json& record : records) add_scalar(series, record, key);
  return series;
}

HeadSeries head_series(const std::vector<Json>& records, const std::string& key) {
  HeadSeries series;
  for (const Json& record : records) {
    const auto value = record.find(key);
    if (value == record.end() || !value->is_array() || !record.contains("step")) continue;
    std::vector<double> heads;
    heads.reserve(value->size());
    for (const Json& item : *value) heads.push_back(number_from_json(item, key));
    series.values.push_back(std::move(heads));
    series.steps.push_back(integer_from_json(record.at("step"), "step"));
  }
  return series;
}

std::vector<fs::path> find_runs(const fs::path& folder) {
  std::vector<fs::path> runs;
  walk(folder, runs);
  if (runs.empty()) {
    throw InputError(folder.string() +
                     (fs::is_directory(folder) ? " holds no run (no manifest.json in it or below)"
                                               : " is not a folder with runs") +
                     "; give the --out folder of `evenkeel train`, `sweep`, `demo` or `import`");
  }
  std::sort(runs.begin(), runs.end());
  return runs;
}

}  // namespace evenkeel::runs
