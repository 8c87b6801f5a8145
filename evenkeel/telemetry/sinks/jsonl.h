// Line files of records: one JSON object per line, each ending in its own CRC-32C, so that a torn tail or a
// flipped byte is seen by every reader.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "evenkeel/base/files.h"
#include "evenkeel/base/json.h"

namespace evenkeel::telemetry {

/// `record` as one line without newline: its JSON with a last key "crc" = CRC-32C of the JSON without that
/// key. Every line has the key "nonfinite" of base/json.h, "" when all is finite, so that readers of columns
/// see one schema. `record` is an object with neither key.
std::string encode_record(const Json& record);

/// The record as it was given to encode_record; nullopt when the line is torn or its crc does not match.
/// Lines of earlier versions, with words for numbers and without "nonfinite", are read too.
std::optional<Json> decode_record(std::string_view line);

/// Appends records to a line file and knows its length, which a checkpoint keeps so that a resumed run can
/// cut what was written after it. Throws EnvironmentError when the disk refuses.
class JsonlSink {
 public:
  /// Opens `file` after cutting it to `keep_bytes`; 0 starts it anew.
  JsonlSink(fs::path file, std::uint64_t keep_bytes);
  void write(const Json& record);
  /// Length of the file in bytes.
  std::uint64_t offset() const { return offset_; }
  /// Flushes to the disk.
  void sync() { out_.sync(); }

 private:
  AppendFile out_;
  std::uint64_t offset_;
};

}  // namespace evenkeel::telemetry
