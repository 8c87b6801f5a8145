#include "evenkeel/data/text/formats.h"

#include <fmt/format.h>

#include <array>
#include <fstream>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"

namespace evenkeel::data {
namespace {

constexpr std::uint32_t kMagic16 = 20240520, kMagic32 = 20240801;
constexpr std::int64_t kHeaderBytes = 256 * 4;

[[noreturn]] void bad(const char* tag, const std::filesystem::path& file, const std::string& what) {
  throw InputError(fmt::format("[{}] {}: {}", tag, file.string(), what));
}

void check_not_empty(std::int64_t size, const char* tag, const std::filesystem::path& file) {
  if (size == 0) bad(tag, file, "the file is empty (0 bytes); give a file with text in it");
}

std::shared_ptr<const TokenStream> bytes_stream(const std::filesystem::path& file, const char* tag) {
  const std::int64_t size = checked_size(file, tag);
  check_not_empty(size, tag, file);
  return std::make_shared<FileStream>(file, 1, 0, size);
}

std::shared_ptr<const TokenStream> nanogpt_stream(const std::filesystem::path& file, const char* tag) {
  const std::int64_t size = checked_size(file, tag);
  check_not_empty(size, tag, file);
  if (size % 2 != 0) {
    bad(tag, file,
        fmt::format(
            "odd size of {} bytes at the end of a file of two-byte ids, so its last id (byte {}) is cut "
            "off; copy the file again, or set data.kind (bytes reads any file)",
            size, size - 1));
  }
  return std::make_shared<FileStream>(file, 2, 0, size / 2);
}

std::shared_ptr<const TokenStream> llmc_stream(const std::filesystem::path& file, const char* tag) {
  const std::int64_t size = checked_size(file, tag);
  check_not_empty(size, tag, file);
  if (size < kHeaderBytes) {
    bad(tag, file,
        fmt::format("{} bytes are too few for the header of {} bytes of an llm.c shard; copy the file again",
                    size, kHeaderBytes));
  }
  std::array<std::int32_t, 3> header{};
  FileStream(file, 4, 0, 3).read(0, header);
  const auto magic = static_cast<std::uint32_t>(header[0]);
  if (magic != kMagic16 && magic != kMagic32) {
    bad(tag, file,
        fmt::format("byte 0: magic number {} where an llm.c shard has {} or {}; set data.kind (nanogpt: ids "
                    "without a header, bytes: any file)",
                    magic, kMagic16, kMagic32));
  }
  const std::int32_t version = magic == kMagic16 ? 1 : 7;
  if (header[1] != version) {
    bad(tag, file,
        fmt::format(
            "byte 4: version {} of the llm.c shard format, only {} is known for magic number {}; make "
            "the shard again with that version",
            header[1], version, magic));
  }
  const int width = magic == kMagic16 ? 2 : 4;
  const auto count = static_cast<std::int64_t>(static_cast<std::uint32_t>(header[2]));
  if (size != kHeaderBytes + count * width) {
    bad(tag, file,
        fmt::format(
            "byte 8: the header promises {} tokens, which make {} bytes, but the file has {}; copy the "
            "shard again",
            count, kHeaderBytes + count * width, size));
  }
  return std::make_shared<FileStream>(file, width, kHeaderBytes, count);
}

template <class Open>
OpenedText open_files(const DataSpec& spec, const std::string& unit, Open open) {
  OpenedText text;
  text.unit = unit;
  text.train = open(*spec.path, "data.path");
  if (spec.valid_path) text.valid = open(*spec.valid_path, "data.valid_path");
  text.fingerprint = files_fingerprint(spec);
  text.name = describe_files(spec, text.train->size(), text.valid ? text.valid->size() : 0, unit);
  return text;
}

// By the magic number, or by the length that the count in the header gives.
bool looks_like_shard(const std::filesystem::path& file) {
  const std::uint32_t magic = first_word(file);
  if (magic == kMagic16 || magic == kMagic32) return true;
  const std::int64_t size = checked_size(file, "data.path");
  if (size <= kHeaderBytes) return false;
  std::array<std::int32_t, 3> header{};
  FileStream(file, 4, 0, 3).read(0, header);
  const auto count = static_cast<std::int64_t>(static_cast<std::uint32_t>(header[2]));
  return size == kHeaderBytes + 2 * count || size == kHeaderBytes + 4 * count;
}

bool ends_with(const std::string& name, const char* end) {
  return std::filesystem::path(name).extension() == end;
}

}  // namespace

std::int64_t checked_size(const std::filesystem::path& file, const char* tag) {
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory) {
    throw EnvironmentError(explain_errno("read", file, error.value()));
  }
  if (!std::filesystem::exists(status)) {
    bad(tag, file, "no such file; check the spelling (a relative path starts at the folder you are in)");
  }
  if (std::filesystem::is_directory(status)) {
    bad(tag, file,
        "this is a folder without tokens.json; give a file, or make token data with `evenkeel data tokenize "
        "FILE --out "
        "FOLDER`");
  }
  if (!std::filesystem::is_regular_file(status))
    bad(tag, file, "not a regular file; copy its content into one first");
  const auto size = std::filesystem::file_size(file, error);
  if (error) throw EnvironmentError(explain_errno("read", file, error.value()));
  return static_cast<std::int64_t>(size);
}

std::uint32_t first_word(const std::filesystem::path& file) {
  if (checked_size(file, "data.path") < 4) return 0;
  std::array<std::int32_t, 1> word{};
  FileStream(file, 4, 0, 1).read(0, word);
  return static_cast<std::uint32_t>(word[0]);
}

std::string last_name(const std::filesystem::path& path) {
  const auto whole = std::filesystem::absolute(path).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

std::string describe_files(const DataSpec& spec, std::int64_t train, std::int64_t valid,
                           const std::string& unit) {
  if (!spec.valid_path) return fmt::format("{}, {} {}", last_name(*spec.path), train, unit);
  return fmt::format("{}, {} {}; validation {}, {} {}", last_name(*spec.path), train, unit,
                     last_name(*spec.valid_path), valid, unit);
}

std::string files_fingerprint(const DataSpec& spec) {
  const std::string train = file_hash(*spec.path);
  return spec.valid_path ? content_hash(train + " " + file_hash(*spec.valid_path)) : train;
}

OpenedText open_bytes(const DataSpec& spec) {
  OpenedText text = open_files(spec, "bytes", bytes_stream);
  text.vocab = 256;
  return text;
}

OpenedText open_llmc(const DataSpec& spec) {
  return open_files(spec, "tokens", llmc_stream);
}

OpenedText open_nanogpt(const DataSpec& spec) {
  return open_files(spec, "tokens", nanogpt_stream);
}

DataKind detect_kind(const DataSpec& spec) {
  if (!spec.path) return DataKind::kSynthetic;
  const std::filesystem::path path = *spec.path;
  std::error_code error;
  if (std::filesystem::is_regular_file(path / "tokens.json", error)) return DataKind::kTokens;
  if (std::filesystem::is_regular_file(path / "pairs.json", error)) return DataKind::kPairs;
  if (ends_with(path, ".bin")) {
    return looks_like_shard(path) ? DataKind::kShard : DataKind::kNanogpt;
  }
  return ends_with(path, ".jsonl") ? DataKind::kJsonl : DataKind::kBytes;
}

}  // namespace evenkeel::data
