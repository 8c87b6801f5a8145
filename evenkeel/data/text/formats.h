// Readers of the text formats (docs/formats/data.md). Each checks the file and hands over streams of ids;
// errors are InputError naming file and byte.
#pragma once

#include <filesystem>
#include <functional>
#include <istream>
#include <string>

#include "evenkeel/data/text/token_stream.h"

namespace evenkeel::data {

/// Every byte of any file is a token; vocabulary 256.
OpenedText open_bytes(const DataSpec& spec);
/// llm.c shard: header of 256 int32 (magic 20240520: uint16 ids, 20240801: uint32 ids; version; count), then
/// ids.
OpenedText open_llmc(const DataSpec& spec);
/// nanoGPT: headerless uint16 ids.
OpenedText open_nanogpt(const DataSpec& spec);
/// JSON lines: the bytes of one text field of each line, then id 256; vocabulary 257.
OpenedText open_jsonl(const DataSpec& spec);
/// Folder written by `evenkeel data tokenize`.
OpenedText open_tokens(const DataSpec& spec);

/// The kind of data at spec.path, from its name and first bytes; synthetic without a path. A .bin file whose
/// length is that of an llm.c shard is one, also when its magic number is wrong, so that damage is not taken
/// for text.
DataKind detect_kind(const DataSpec& spec);

/// Throws InputError, tagged with `tag`, unless `file` is there and no folder; returns its size.
std::int64_t checked_size(const std::filesystem::path& file, const char* tag);

/// First four bytes as a little-endian number, or 0 when the file is shorter.
std::uint32_t first_word(const std::filesystem::path& file);

/// Calls `use` with the text in `field` of each line of a JSON-lines file; blank lines are skipped. Throws
/// InputError, tagged with `tag`, naming line and byte of what is no JSON object or lacks the field.
void for_each_json_line(const std::string& file, const char* tag, const std::string& field,
                        const std::function<void(const std::string&)>& use);
/// The same for the text of `file`.
void for_each_json_line(std::istream& in, const std::string& file, const char* tag, const std::string& field,
                        const std::function<void(const std::string&)>& use);

/// Name of a file or folder without the folders it is in, which may differ between equal runs.
std::string last_name(const std::filesystem::path& path);

/// "input.txt, 1115394 bytes" or, with a validation file, both.
std::string describe_files(const DataSpec& spec, std::int64_t train, std::int64_t valid,
                           const std::string& unit);

/// One fingerprint for the training and, when given, the validation file.
std::string files_fingerprint(const DataSpec& spec);

}  // namespace evenkeel::data
