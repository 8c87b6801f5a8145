#include "evenkeel/base/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include "evenkeel/base/error.h"

namespace evenkeel {
namespace {

[[noreturn]] void fail(std::string_view action, const fs::path& file) {
  throw EnvironmentError(explain_errno(action, file, errno));
}

// A full disk shows up in write or, for delayed allocation, only in fsync or close.
void write_all(int fd, std::string_view bytes, const fs::path& file) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("write", file);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

std::string explain_errno(std::string_view action, const fs::path& file, int error) {
  const char* advice = "check the path";
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      advice = "free some space there or choose another folder with --out, then run the same command again";
      break;
    case EACCES:
    case EPERM:
    case EROFS:
      advice = "choose a folder you may write to with --out, or change its permissions";
      break;
    case ENOENT:
      advice = "check the spelling; paths are relative to the folder you are in";
      break;
    case ENOTDIR:
    case EEXIST:
      advice = "a file of that name is in the way; choose another path";
      break;
    case EISDIR:
      advice = "this is a folder; give a file";
      break;
    case EFBIG:
      advice = "files may not grow so large here: raise the limit (ulimit -f) and run the same command again";
      break;
    default:
      break;
  }
  if ((error == EACCES || error == EPERM) && action == "read") advice = "give yourself permission to read it";
  return "cannot " + std::string(action) + " " + file.string() + ": " + std::strerror(error) + "; " + advice;
}

std::string read_file(const fs::path& file) {
  const int fd =
      ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // or it would wait for a pipe's sender
  if (fd < 0) fail("read", file);
  struct stat status {};
  if (::fstat(fd, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
    ::close(fd);
    throw InputError(file.string() +
                     " is a pipe or a device, not a file; write its content into a file first");
  }
  std::string content;
  std::string block(std::size_t{1} << 18, '\0');
  for (;;) {
    const ssize_t n = ::read(fd, block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      ::close(fd);
      errno = error;
      fail("read", file);
    }
    if (n == 0) break;
    content.append(block.data(), static_cast<std::size_t>(n));
  }
  ::close(fd);
  return content;
}

namespace {

/// What renaming over `file` may replace: itself, or where it leads.
fs::path replaceable(const fs::path& file) {
  std::error_code none;
  const fs::file_status status = fs::status(file, none);
  if (!fs::exists(status)) return file;
  if (!fs::is_regular_file(status))
    throw EnvironmentError(fmt::format(
        "cannot write {}: it is there and is no file, and would be replaced by one; choose another name",
        file.string()));
  const fs::path real = fs::canonical(file, none);
  return none ? file : real;
}

struct PartialFile {
  fs::path name;
  int fd = -1;
};

/// Opens the file beside `file` that will replace it, empty. Its name is fixed, so that what a killed writer
/// left is used up by the next one; a writer that is at work holds a lock on it, and a second one then takes
/// a name of its own. A writer renames its file away while it holds the lock: whoever gets the lock later
/// looks whether the name still leads to what it opened.
PartialFile open_partial(const fs::path& file) {
  const fs::path shared = file.string() + ".part";
  for (;;) {
    const int fd = ::open(shared.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) fail("write", file);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(fd);
      const fs::path own = fmt::format("{}.{}.part", file.string(), ::getpid());
      const int own_fd = ::open(own.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
      if (own_fd < 0) fail("write", file);
      return {own, own_fd};
    }
    struct stat opened {
    }, named{};
    const bool same = ::fstat(fd, &opened) == 0 && ::stat(shared.c_str(), &named) == 0 &&
                      opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
    if (same && ::ftruncate(fd, 0) == 0) return {shared, fd};
    const int error = errno;
    ::close(fd);
    if (!same) continue;
    errno = error;
    fail("write", file);
  }
}

}  // namespace

void write_file(const fs::path& file, std::string_view content) {
  write_file(file, std::span<const std::string_view>(&content, 1));
}

void check_written(std::FILE* stream) {
  errno = 0;
  if (std::fflush(stream) == 0 && std::ferror(stream) == 0) return;
  if (errno == EPIPE) {
    std::signal(SIGPIPE, SIG_DFL);
    std::raise(SIGPIPE);
  }
  throw EnvironmentError(fmt::format("cannot write to standard output: {}; what was printed is not all there",
                                     errno == 0 ? "an earlier write failed" : std::strerror(errno)));
}

void write_file(const fs::path& named, std::span<const std::string_view> parts) {
  const fs::path file = replaceable(named);
  const auto [partial, fd] = open_partial(file);
  try {
    for (const std::string_view part : parts) write_all(fd, part, file);
    if (::fsync(fd) != 0 || ::rename(partial.c_str(), file.c_str()) != 0) fail("write", file);
  } catch (...) {
    ::unlink(partial.c_str());
    ::close(fd);
    throw;
  }
  if (::close(fd) != 0) fail("write", file);
  const fs::path parent = file.parent_path();
  sync_folder(parent.empty() ? fs::path(".") : parent);
}

void sync_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && errno == EACCES) return;  // may be written to but not opened: it cannot be synced
  if (fd < 0) fail("write", folder);
  // Some file systems cannot sync a folder (EINVAL); there is nothing to do about it then.
  if (::fsync(fd) != 0 && errno != EINVAL) {
    const int error = errno;
    ::close(fd);
    errno = error;
    fail("write", folder);
  }
  ::close(fd);
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  // The entry of a new folder lies in its parent.
  std::vector<fs::path> changed;
  for (fs::path at = fs::absolute(folder).lexically_normal();
       !fs::exists(at, error) && at.has_relative_path(); at = at.parent_path())
    changed.push_back(at.parent_path());
  fs::create_directories(folder, error);
  if (error) throw EnvironmentError(explain_errno("create folder", folder, error.value()));
  for (const fs::path& parent : changed) sync_folder(parent);
}

AppendFile::AppendFile(fs::path file, std::uint64_t keep_bytes) : file_(std::move(file)) {
  fd_ = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd_ < 0) fail("write", file_);
  const off_t length = ::lseek(fd_, 0, SEEK_END);
  const bool grows = length >= 0 && keep_bytes > static_cast<std::uint64_t>(length);
  if (grows) {
    ::close(fd_);
    throw EnvironmentError("cannot go on with " + file_.string() + ": it has " + std::to_string(length) +
                           " bytes, expected at least " + std::to_string(keep_bytes) +
                           "; it was changed by something else: delete its folder and run again");
  }
  // A device has no length that could be cut.
  if (static_cast<off_t>(keep_bytes) != length && ::ftruncate(fd_, static_cast<off_t>(keep_bytes)) != 0) {
    const int error = errno;
    ::close(fd_);
    errno = error;
    fail("write", file_);
  }
}

AppendFile::~AppendFile() {
  ::close(fd_);
}

void AppendFile::write_line(std::string_view line) {
  std::string whole(line);
  whole += '\n';
  write_all(fd_, whole, file_);
}

void AppendFile::sync() {
  if (::fsync(fd_) != 0) fail("write", file_);
}

FileLock::FileLock(const fs::path& file, std::string_view who_holds_it, bool shared) {
  fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) fail("write", file);
  // Whoever asks whether the file is locked holds it for an instant, so one refusal proves nothing.
  for (int attempt = 0; ::flock(fd_, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0; ++attempt) {
    const int error = errno;
    if (error == EINTR || (error == EWOULDBLOCK && attempt < 10)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      continue;
    }
    ::close(fd_);
    if (error != EWOULDBLOCK) throw EnvironmentError(explain_errno("lock", file, error));
    throw EnvironmentError(std::string(who_holds_it) + " (lock " + file.string() +
                           "); wait for it to end or stop it, then run the same command again");
  }
}

FileLock::~FileLock() {
  ::close(fd_);
}

}  // namespace evenkeel
