// The line files of a run (metrics.jsonl, heads.jsonl, events.jsonl, timing.jsonl): one JSON object per line,
// each ending in its own CRC-32C, so a torn tail or a flipped byte is seen. docs/formats/run_directory.md
// lists the keys.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "evenkeel/base/files.h"
#include "evenkeel/base/json.h"
#include "evenkeel/telemetry/sinks/jsonl.h"

namespace evenkeel::runs {

using telemetry::decode_record;
using telemetry::encode_record;

/// Every valid record; lines that do not check are passed over (runs/verify.h says which). An absent file is
/// empty. `valid_bytes` gets the length of what stands before the first invalid line.
std::vector<Json> read_records(const fs::path& file, std::uint64_t* valid_bytes = nullptr);

/// The same, one record at a time, so that a long file takes no memory.
void for_each_record(const fs::path& file, const std::function<void(Json&&)>& use,
                     std::uint64_t* valid_bytes = nullptr);

/// One quantity over steps. Values may be NaN or infinite.
struct Series {
  std::vector<std::int64_t> steps;
  std::vector<double> values;
  /// Points that were recorded, where thin() left some out; 0: these are all.
  std::size_t recorded = 0;
};
/// Adds `record`'s scalar `key`, where it has one and a step.
void add_scalar(Series& series, const Json& record, const std::string& key);
/// The scalar `key` from records (those that lack it are passed over).
Series scalar_series(const std::vector<Json>& records, const std::string& key);

/// Per-head values: values[i] belongs to steps[i], one number per head.
struct HeadSeries {
  std::vector<std::int64_t> steps;
  std::vector<std::vector<double>> values;
};
HeadSeries head_series(const std::vector<Json>& records, const std::string& key);

/// Run directories at or below `folder` (folders that hold a manifest.json), in order of path. Throws
/// InputError when there is none.
std::vector<fs::path> find_runs(const fs::path& folder);

}  // namespace evenkeel::runs
