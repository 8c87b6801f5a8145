// Whole-file reading, atomic writing and durable appending. Every failure is an EnvironmentError whose
// sentence names the file, the system's reason and what to do.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace evenkeel {

namespace fs = std::filesystem;

/// The whole file as bytes. Throws InputError for a pipe or a device, which may have no end and no sender:
/// all files that evenkeel reads are regular ones.
std::string read_file(const fs::path& file);

/// Writes beside `file`, flushes to disk, renames over it: readers see the old or the new content, never a
/// part, and of two writers at once the last one stays. A link stays and what it leads to is replaced;
/// anything else that is no file, such as a device, is refused.
void write_file(const fs::path& file, std::string_view content);
/// The same for content that lies in several places.
void write_file(const fs::path& file, std::span<const std::string_view> parts);

/// Flushes `stream`, which is standard output. Throws EnvironmentError when something that was printed could
/// not be written. When its reader has gone away (`| head`) the process ends by SIGPIPE, as any other would.
void check_written(std::FILE* stream);

/// Flushes a folder's entries to disk, so that files and folders renamed into it stay there after a power
/// cut.
void sync_folder(const fs::path& folder);

/// Creates `folder` and its parents, flushed to disk; a clear error when refused or a file is in the way.
void make_folder(const fs::path& folder);

/// "cannot write FILE: No space left on device; free some space or choose another --out" for an errno value.
std::string explain_errno(std::string_view action, const fs::path& file, int error);

/// An append-only file of lines. A line is handed to the kernel in one write, so a killed process leaves at
/// most one torn line, at the end.
class AppendFile {
 public:
  /// Opens for appending after cutting the file to `keep_bytes` (0 starts it anew). Throws when it is
  /// shorter.
  AppendFile(fs::path file, std::uint64_t keep_bytes);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  /// Appends `line` and a newline.
  void write_line(std::string_view line);
  /// Flushes to the disk (fsync).
  void sync();

 private:
  fs::path file_;
  int fd_ = -1;
};

/// An advisory lock on a file, released when the object or the process ends.
class FileLock {
 public:
  /// Throws EnvironmentError with `who_holds_it` when another process has the lock. A shared one keeps out
  /// those that are not.
  FileLock(const fs::path& file, std::string_view who_holds_it, bool shared = false);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace evenkeel
