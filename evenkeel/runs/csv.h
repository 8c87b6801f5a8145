// Comma-separated values, strictly: RFC 4180 (quoted fields, doubled quotes, LF or CRLF), a header line,
// every row as long as the header. Blank lines are passed over; a UTF-8 byte order mark too. Spaces around a
// column name do not belong to it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::runs {

struct CsvRow {
  std::int64_t line = 0;  ///< where it begins, from 1
  std::vector<std::string> cells;
};

struct CsvTable {
  std::vector<std::string> header;
  std::vector<CsvRow> rows;
  bool whole = true;  ///< false: the last line has no end, so the file may have been cut off inside it
};

/// Throws InputError with `name` and line for an unclosed or misplaced quote, a row of another length than
/// the header, a repeated or empty column name, a NUL byte, text that is not UTF-8, and a table without
/// header or rows.
CsvTable parse_csv(std::string_view text, const std::string& name);

/// Without spaces and tabs at both ends.
std::string trimmed(std::string_view text);

}  // namespace evenkeel::runs
