#include "cli/evenkeel/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "cli/evenkeel/output.h"
#include "evenkeel/base/printable.h"

namespace evenkeel::cli {
namespace {

std::size_t terminal_width(std::FILE* stream) {
  winsize size{};
  if (::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

// Characters of UTF-8.
std::size_t seen(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

bool is_terminal(std::FILE* stream) {
  const char* term = std::getenv("TERM");
  return ::isatty(::fileno(stream)) != 0 && term && std::string_view(term) != "dumb" && *term;
}

Style::Style(std::FILE* stream) {
  const char* no_color = std::getenv("NO_COLOR");
  on_ = is_terminal(stream) && !(no_color && *no_color);
}

std::string Style::wrap(const char* code, const std::string& text) const {
  const std::string safe = printable(text);
  return on_ ? fmt::format("\033[{}m{}\033[0m", code, safe) : safe;
}

Progress::Progress(bool quiet)
    : live_(!quiet && is_terminal(stderr)), quiet_(quiet), last_time_(std::chrono::steady_clock::now()) {}

Progress::~Progress() {
  clear();
}

void Progress::show(const std::vector<std::string>& lines, const std::string& plain) {
  if (quiet_) return;
  if (!live_) {
    const auto now = std::chrono::steady_clock::now();
    if (plain == last_plain_ || now - last_time_ < std::chrono::seconds(5)) return;
    last_plain_ = plain;
    last_time_ = now;
    print_err("{}\n", printable(plain));
    return;
  }
  // One write per frame, each line erased to its end only after it is drawn: no flicker.
  const std::size_t width = terminal_width(stderr) - 1;
  std::string frame = drawn_ > 0 ? fmt::format("\033[{}F", drawn_) : "";
  for (const std::string& line : lines) frame += printable(line).substr(0, width) + "\033[K\n";
  frame += "\033[J";
  drawn_ = lines.size();
  write_err(frame);
}

void Progress::say(const std::string& line) {
  if (quiet_) return;
  clear();
  print_err("{}\n", wrapped(line, stderr));
}

void Progress::clear() {
  if (drawn_ == 0) return;
  print_err("\033[{}F\033[J", drawn_);
  drawn_ = 0;
}

std::string table_text(const std::vector<std::vector<std::string>>& given, const Style& style,
                       std::size_t words) {
  std::vector<std::vector<std::string>> rows = given;
  for (auto& row : rows)
    for (std::string& cell : row) cell = printable(cell);
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], seen(row[i]));
  }
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      const std::string pad(widths[i] - seen(rows[r][i]), ' ');
      line += (i == 0 ? "" : "  ") + (i < words ? rows[r][i] + pad : pad + rows[r][i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += (r == 0 ? style.bold(line) : line) + "\n";
  }
  return text;
}

std::string wrapped(const std::string& given, std::FILE* stream) {
  const std::string text = printable(given, "\n");
  if (!is_terminal(stream)) return text;
  const std::size_t width = terminal_width(stream) - 1;
  std::string out;
  std::size_t column = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    const std::size_t columns = seen(word);
    if (column > 0) {
      const bool fits = column + 1 + columns <= width;
      out += fits ? ' ' : '\n';
      column = fits ? column + 1 : 0;
    }
    out += word;
    column += columns;
    at = end + 1;
  }
  return out;
}

std::string bar_text(double share, int width) {
  const int full = static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * width));
  return fmt::format("[{:#<{}}{:-<{}}]", "", full, "", width - full);
}

std::string count_text(double value) {
  if (value >= 1e9) return fmt::format("{:.1f}G", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.1f}M", value / 1e6);
  if (value >= 1e3) return fmt::format("{:.1f}k", value / 1e3);
  return fmt::format("{:.0f}", value);
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<long>(std::lround(std::max(seconds, 0.0)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  const long days = (whole + 43200) / 86400;
  if (days < 2) return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
  return days < 730 ? fmt::format("{} days", days) : fmt::format("{} years", (days + 182) / 365);
}

}  // namespace evenkeel::cli
