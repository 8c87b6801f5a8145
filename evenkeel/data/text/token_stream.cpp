#include "evenkeel/data/text/token_stream.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"

namespace evenkeel::data {

FileStream::FileStream(const std::filesystem::path& file, int width, std::int64_t offset, std::int64_t count)
    : file_(file),
      fd_(::open(file.c_str(), O_RDONLY | O_CLOEXEC)),
      width_(width),
      offset_(offset),
      count_(count) {
  assert(width == 1 || width == 2 || width == 4);
  if (fd_ < 0) throw EnvironmentError(explain_errno("read", file, errno));
}

FileStream::~FileStream() {
  ::close(fd_);
}

void FileStream::read(std::int64_t begin, std::span<std::int32_t> out) const {
  assert(begin >= 0 && begin + static_cast<std::int64_t>(out.size()) <= count_);
  std::vector<unsigned char> bytes(out.size() * static_cast<std::size_t>(width_));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto at = offset_ + begin * width_ + static_cast<std::int64_t>(done);
    const ssize_t n = ::pread(fd_, bytes.data() + done, bytes.size() - done, at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw EnvironmentError(explain_errno("read", file_, errno));
    if (n == 0) {
      throw EnvironmentError(fmt::format(
          "{} became shorter than {} bytes while it was read; restore it and run again", file_.string(), at));
    }
    done += static_cast<std::size_t>(n);
  }
  const unsigned char* p = bytes.data();
  for (std::int32_t& id : out) {
    std::uint32_t value = p[0];
    for (int k = 1; k < width_; ++k) value |= static_cast<std::uint32_t>(p[k]) << (8 * k);
    id = static_cast<std::int32_t>(value);
    p += width_;
  }
}

std::string FileStream::where(std::int64_t index) const {
  return fmt::format("{}, byte {}", file_.string(), offset_ + index * width_);
}

void MemoryStream::read(std::int64_t begin, std::span<std::int32_t> out) const {
  assert(begin >= 0 && begin + static_cast<std::int64_t>(out.size()) <= size());
  for (std::int32_t& id : out) id = ids_[static_cast<std::size_t>(begin++)];
}

void check_unchanged(std::span<const std::int32_t> ids, std::int64_t vocab, const TokenStream& stream,
                     std::int64_t begin) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab) continue;
    throw EnvironmentError(fmt::format(
        "{}: the data changed after they were opened: token id {} is not below the vocabulary of {}; restore "
        "them "
        "and run again",
        stream.where(begin + static_cast<std::int64_t>(i)), static_cast<std::uint32_t>(ids[i]), vocab));
  }
}

std::string MemoryStream::where(std::int64_t index) const {
  return fmt::format("{}, token {}", name_, index);
}

}  // namespace evenkeel::data
