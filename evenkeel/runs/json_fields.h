// Typed reading of the JSON files of a run; a missing or mistyped key is an InputError naming the file and
// the key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "evenkeel/base/json.h"

namespace evenkeel::runs {

class JsonFields {
 public:
  /// `where` is the file; `document` must outlive this. Throws when it is no object.
  JsonFields(const Json& document, std::string where);

  bool has(std::string_view key) const;
  const Json& at(std::string_view key) const;
  std::string text(std::string_view key) const;
  std::int64_t integer(std::string_view key) const;
  /// Perhaps not finite.
  double number(std::string_view key) const;
  /// The same; NaN for null, which says that the number is not known.
  double number_or_unknown(std::string_view key) const;
  const Json& object(std::string_view key) const;

 private:
  [[noreturn]] void fail(std::string_view key, std::string_view expected) const;
  const Json& document_;
  std::string where_;
};

}  // namespace evenkeel::runs
