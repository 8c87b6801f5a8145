// Typed reading of the JSON files of a run; a missing or mistyped key is an InputError naming the file and
// the key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "evenkeel/base/error.h"
#include "evenkeel/base/json.h"

namespace evenkeel::runs {

/// A run that a later version made: whole, but not for this one.
class NewerFormat : public InputError {
 public:
  using InputError::InputError;
};

/// Adds to an object the key "checksum": the content hash of all else in it but the key `apart`, in one line
/// with keys sorted.
void seal(Json& document, const char* apart = "");
/// Takes the checksum out.
void unseal(Json& document);
/// False when an object with a checksum is not what seal() saw. Files of earlier versions have none: true.
bool seal_holds(const Json& document, const char* apart = "");

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
