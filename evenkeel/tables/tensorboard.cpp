// TensorBoard's event files: records of a length, its CRC, a protocol buffer (message Event of
// tensorboard/compat/proto/event.proto) and its CRC. Four fields of it are written, which takes fewer lines
// than a dependency on the library of protocol buffers.
#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/tables/event_file.h"
#include "evenkeel/tables/table_sink.h"

namespace evenkeel::tables {
namespace {

template <class T>
void append_bytes(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

/// A field that holds bytes: text or a message.
void append_field(std::string& out, int number, std::string_view bytes) {
  append_varint(out, static_cast<std::uint64_t>(number) << 3 | 2);
  append_varint(out, bytes.size());
  out += bytes;
}

std::uint32_t masked_crc(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8u;
}

std::string event_record(double wall_time, std::optional<std::int64_t> step, int field,
                         std::string_view content) {
  std::string event = "\x09";
  append_bytes(event, wall_time);
  if (step) {
    event += '\x10';
    append_varint(event, static_cast<std::uint64_t>(*step));
  }
  append_field(event, field, content);
  std::string record;
  append_bytes(record, static_cast<std::uint64_t>(event.size()));
  append_bytes(record, masked_crc(record));
  record += event;
  append_bytes(record, masked_crc(event));
  return record;
}

class TensorBoardSink : public TableSink {
 public:
  explicit TensorBoardSink(const fs::path& folder) : folder_(absent(folder)), part_(in_the_making(folder_)) {
    make_folder(part_);
  }
  ~TensorBoardSink() override {
    std::error_code ignored;
    if (!finished_) fs::remove_all(part_, ignored);
  }

  void run(const RunRow& row) override {
    write();
    // TensorBoard shows a run by its folder: what sets it apart comes first.
    std::string name =
        fmt::format("{} {} lr={:g} seed={}", row.size, row.arm, row.lr.value_or(0), row.seed.value_or(0));
    for (char& c : name)
      if (c == '/' || c == '\0') c = '_';
    if (name.size() > 150) name.resize(150);
    run_ = part_ / fmt::format("{} {}", name, row.config_hash.substr(0, 8));
    while (fs::exists(run_)) run_ += "+";
    make_folder(run_);
    content_ = event_file_header(kNoTime);
  }
  void value(std::int64_t step, std::string_view metric, int head, double value) override {
    const std::string tag = head < 0 ? std::string(metric) : fmt::format("{}/head{:02d}", metric, head);
    content_ += scalar_event(kNoTime, step, tag, static_cast<float>(value));
  }
  void event(std::int64_t step, const std::string& kind) override {
    content_ += scalar_event(kNoTime, step, "event/" + kind, 1);
  }
  void finish() override {
    write();
    fs::rename(part_, folder_);
    sync_folder(folder_.has_parent_path() ? folder_.parent_path() : fs::path("."));
    finished_ = true;
  }

 private:
  // Runs are compared by steps; when a record was written is not in the line files.
  static constexpr double kNoTime = 0;

  void write() {
    if (!run_.empty()) write_file(run_ / "events.out.tfevents.0.evenkeel", content_);
  }

  fs::path folder_, part_, run_;
  std::string content_;
  bool finished_ = false;
};

}  // namespace

std::string event_file_header(double wall_time) {
  return event_record(wall_time, std::nullopt, 3, "brain.Event:2");
}

std::string scalar_event(double wall_time, std::int64_t step, std::string_view tag, float value) {
  std::string scalar, summary;
  append_field(scalar, 1, tag);
  scalar += '\x15';
  append_bytes(scalar, value);
  append_field(summary, 1, scalar);
  return event_record(wall_time, step, 5, summary);
}

std::unique_ptr<TableSink> tensorboard_sink(const fs::path& folder) {
  return std::make_unique<TensorBoardSink>(folder);
}

}  // namespace evenkeel::tables
