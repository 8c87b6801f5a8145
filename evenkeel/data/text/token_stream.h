// A text as one long row of token ids with random access, and the source that cuts it into windows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "evenkeel/data/source.h"

namespace evenkeel::data {

/// A row of ids. Reading is const and safe from several threads.
class TokenStream {
 public:
  virtual ~TokenStream() = default;
  virtual std::int64_t size() const = 0;
  /// Fills `out` with ids [begin, begin + out.size()), which must lie inside the stream.
  virtual void read(std::int64_t begin, std::span<std::int32_t> out) const = 0;
  /// "FILE, byte 1234" of token `index`, for error messages.
  virtual std::string where(std::int64_t index) const = 0;
};

/// Little-endian ids of 1, 2 or 4 bytes in a file from byte `offset` on; read with pread, never held in
/// memory.
class FileStream : public TokenStream {
 public:
  FileStream(const std::filesystem::path& file, int width, std::int64_t offset, std::int64_t count);
  ~FileStream() override;
  FileStream(const FileStream&) = delete;
  FileStream& operator=(const FileStream&) = delete;
  std::int64_t size() const override { return count_; }
  void read(std::int64_t begin, std::span<std::int32_t> out) const override;
  std::string where(std::int64_t index) const override;

 private:
  std::filesystem::path file_;
  int fd_ = -1, width_;
  std::int64_t offset_, count_;
};

/// Ids below 65536 held in memory.
class MemoryStream : public TokenStream {
 public:
  MemoryStream(std::vector<std::uint16_t> ids, std::string name)
      : ids_(std::move(ids)), name_(std::move(name)) {}
  std::int64_t size() const override { return static_cast<std::int64_t>(ids_.size()); }
  void read(std::int64_t begin, std::span<std::int32_t> out) const override;
  std::string where(std::int64_t index) const override;

 private:
  std::vector<std::uint16_t> ids_;
  std::string name_;
};

/// Part [begin, begin + size) of another stream.
class StreamPart : public TokenStream {
 public:
  StreamPart(std::shared_ptr<const TokenStream> whole, std::int64_t begin, std::int64_t size)
      : whole_(std::move(whole)), begin_(begin), size_(size) {}
  std::int64_t size() const override { return size_; }
  void read(std::int64_t begin, std::span<std::int32_t> out) const override {
    whole_->read(begin_ + begin, out);
  }
  std::string where(std::int64_t index) const override { return whole_->where(begin_ + index); }

 private:
  std::shared_ptr<const TokenStream> whole_;
  std::int64_t begin_, size_;
};

/// Throws EnvironmentError unless all `ids`, read from `stream` at `begin`, are below `vocab`, as they were
/// when the data were opened: models trust them, and a file may be replaced under a run.
void check_unchanged(std::span<const std::int32_t> ids, std::int64_t vocab, const TokenStream& stream,
                     std::int64_t begin);

/// What a format's reader hands over; the rest is the same for every kind of text.
struct OpenedText {
  std::string name;                          ///< for people: "input.txt, 1115394 bytes"
  std::string unit = "tokens";               ///< what sizes are counted in
  std::string fingerprint;                   ///< content hash of all files
  std::int64_t vocab = 0;                    ///< ids are below it; 0: find the largest id
  std::shared_ptr<const TokenStream> train;  ///< the whole text when `valid` is empty
  std::shared_ptr<const TokenStream> valid;
};

/// The source over `text`: without a validation stream the last spec.valid_fraction of the tokens becomes
/// one. Window i is tokens [i T, i T + T]. Scans all ids once. Throws InputError when either part is shorter
/// than one window, or an id is not below the vocabulary.
std::unique_ptr<WindowSource> make_text_source(OpenedText text, const DataSpec& spec, std::int64_t context);

}  // namespace evenkeel::data
