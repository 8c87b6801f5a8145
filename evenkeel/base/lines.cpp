#include "evenkeel/base/lines.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/utf8.h"

namespace evenkeel {
namespace {

// gzip makes text three to ten times smaller, and what is meant to fill the memory up to a thousand times.
constexpr std::size_t kMostPacked = 200, kSurelyText = std::size_t{1} << 26;

std::string read_text(const fs::path& file, const char* tag) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) {
    throw InputError(fmt::format("[{}] {}: no such file; check the spelling", tag, file.string()));
  }
  errno = 0;
  // Plain files pass through unchanged.
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> in(gzopen(file.c_str(), "rb"), gzclose);
  if (!in) throw EnvironmentError(explain_errno("read", file, errno));
  const std::size_t limit =
      std::max(kSurelyText, kMostPacked * static_cast<std::size_t>(fs::file_size(file, error)));
  std::string text;
  std::array<char, 1 << 16> block;
  for (;;) {
    const int n = gzread(in.get(), block.data(), block.size());
    if (n > 0) text.append(block.data(), static_cast<std::size_t>(n));
    if (text.size() > limit) {
      throw InputError(fmt::format(
          "[{}] {}: the gzip file unpacks to more than {} times its size, as no text does; unpack it "
          "yourself if it is one",
          tag, file.string(), kMostPacked));
    }
    if (n == static_cast<int>(block.size())) continue;
    int status = Z_OK;
    gzerror(in.get(), &status);
    if (status == Z_ERRNO) throw EnvironmentError(explain_errno("read", file, errno));
    if (n < 0 || status == Z_BUF_ERROR) {
      throw InputError(fmt::format(
          "[{}] {}: the gzip file is damaged or cut off after {} bytes of text; fetch or write it again", tag,
          file.string(), text.size()));
    }
    return text;
  }
}

}  // namespace

std::vector<std::string> read_lines(const fs::path& file, const char* tag) {
  const std::string text = read_text(file, tag);
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const bool carriage_return = end > begin && text[end - 1] == '\r';
    lines.push_back(text.substr(begin, end - begin - (carriage_return ? 1 : 0)));
    if (const std::size_t bad = first_invalid_utf8(lines.back()); bad != std::string::npos) {
      throw InputError(
          fmt::format("[{}] {}:{}, byte {} of the line: not UTF-8 text; convert it (iconv -t utf-8)", tag,
                      file.string(), lines.size(), bad));
    }
    begin = end + 1;
  }
  return lines;
}

}  // namespace evenkeel
