// safetensors files: named tensors as plain bytes, nothing that executes. Layout: header length (u64,
// little-endian), a JSON header {name: {"dtype", "shape", "data_offsets"}} padded with spaces to a multiple
// of 8 bytes, then the tensors' bytes without gaps. https://github.com/huggingface/safetensors; any tool that
// reads the format reads these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "evenkeel/base/files.h"

namespace evenkeel::runs {

enum class TensorType { kF32, kF64, kBf16, kI64 };

std::string_view tensor_type_name(TensorType type);
/// Bytes of one element.
std::size_t tensor_type_size(TensorType type);

/// A tensor somewhere in memory: row-major, little-endian. `data` is not owned.
struct TensorBytes {
  std::string name;
  TensorType type = TensorType::kF32;
  std::vector<std::int64_t> shape;  ///< empty: a single number
  std::string_view data;            ///< product(shape) elements
};

/// Writes the tensors in order of name, atomically. `metadata` are words for people. Throws std::logic_error
/// when a name is empty or repeated or the bytes do not fit the shape, EnvironmentError when the disk
/// refuses.
void write_safetensors(const fs::path& file, std::vector<TensorBytes> tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// What a file holds; the views live as long as `content`.
struct Safetensors {
  std::shared_ptr<const std::string> content;
  std::map<std::string, TensorBytes> tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads and validates a whole file. Throws EnvironmentError when it cannot be read and InputError with file
/// and byte offset when the header's length, JSON, types, shapes, offsets or the file's size do not fit each
/// other.
Safetensors read_safetensors(const fs::path& file);
/// The same for the bytes of `file`.
Safetensors parse_safetensors(std::string bytes, const fs::path& file);

}  // namespace evenkeel::runs
