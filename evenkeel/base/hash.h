// Content hashes: XXH3 (128 bit) names things, CRC-32C guards lines and files against torn or flipped bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace evenkeel {

/// 128-bit XXH3 of `bytes` as 32 hexadecimal digits.
std::string content_hash(std::string_view bytes);

/// content_hash of a file, read in blocks. Throws EnvironmentError when it cannot be read.
std::string file_hash(const std::filesystem::path& file);

/// CRC-32C (Castagnoli, as in iSCSI, RFC 3720): 0xe3069283 for "123456789".
std::uint32_t crc32c(std::string_view bytes);

/// Eight lower-case hexadecimal digits.
std::string hex32(std::uint32_t value);

}  // namespace evenkeel
