// What people see while they wait: a few redrawn lines on a terminal, plain lines now and then elsewhere, and
// tables. Control codes go to terminals only, colour only when NO_COLOR is unset (no-color.org). What is
// given to the functions below may come from strangers: control characters in it are written out
// (base/printable.h).
#pragma once

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

namespace evenkeel::cli {

/// True when `stream` is a terminal that understands control codes.
bool is_terminal(std::FILE* stream);

/// Wraps text in colour when the stream may have it.
class Style {
 public:
  explicit Style(std::FILE* stream);
  std::string bold(const std::string& text) const { return wrap("1", text); }
  std::string dim(const std::string& text) const { return wrap("2", text); }

 private:
  std::string wrap(const char* code, const std::string& text) const;
  bool on_;
};

/// Progress on standard error.
class Progress {
 public:
  explicit Progress(bool quiet = false);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// On a terminal replaces the lines shown before (each is cut to the width, no colour inside); elsewhere
  /// prints `plain` when it changed and the last plain line is at least five seconds old.
  void show(const std::vector<std::string>& lines, const std::string& plain);
  /// A line that stays.
  void say(const std::string& line);
  /// Takes the redrawn lines away.
  void clear();

 private:
  bool live_, quiet_;
  std::size_t drawn_ = 0;
  std::string last_plain_;
  std::chrono::steady_clock::time_point last_time_;
};

/// Columns padded to their widest entry (a character of UTF-8 is a column wide), two spaces between; the
/// first row is the heading. Numbers read best right aligned: every column after the first `words` is.
std::string table_text(const std::vector<std::vector<std::string>>& rows, const Style& style,
                       std::size_t words = 1);

/// `text` broken at spaces so that it fits `stream` when that is a terminal, else as it is. Bytes of UTF-8
/// count by character.
std::string wrapped(const std::string& text, std::FILE* stream);

/// "[#####-----]" of `width` characters inside the brackets.
std::string bar_text(double share, int width);
/// "41.2k", "1.3M", "812".
std::string count_text(double value);
/// "45 s", "2 min 05 s", "1 h 20 min", "3 days", "7 years".
std::string duration_text(double seconds);

}  // namespace evenkeel::cli
