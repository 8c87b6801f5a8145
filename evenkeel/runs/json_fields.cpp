#include "evenkeel/runs/json_fields.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"

namespace evenkeel::runs {
namespace {

constexpr const char* kChecksum = "checksum";

std::string checksum_of(Json document, const char* apart) {
  document.erase(kChecksum);
  document.erase(apart);
  return content_hash(json_text(document));
}

}  // namespace

void seal(Json& document, const char* apart) {
  document[kChecksum] = checksum_of(document, apart);
}

void unseal(Json& document) {
  document.erase(kChecksum);
}

bool seal_holds(const Json& document, const char* apart) {
  const auto checksum = document.find(kChecksum);
  return checksum == document.end() || *checksum == checksum_of(document, apart);
}

JsonFields::JsonFields(const Json& document, std::string where)
    : document_(document), where_(std::move(where)) {
  if (!document_.is_object()) {
    throw InputError(
        where_ + " must hold a JSON object; the file is damaged: restore it or delete the run and run again");
  }
}

void JsonFields::fail(std::string_view key, std::string_view expected) const {
  const auto it = document_.find(std::string(key));
  throw InputError(
      fmt::format("{}: [{}] must be {}, got {}; the file is damaged or of another version: restore it or "
                  "delete the run and run again",
                  where_, key, expected, it == document_.end() ? "nothing" : excerpt(*it)));
}

bool JsonFields::has(std::string_view key) const {
  return document_.contains(std::string(key));
}

const Json& JsonFields::at(std::string_view key) const {
  const auto it = document_.find(std::string(key));
  if (it == document_.end()) fail(key, "there");
  return *it;
}

std::string JsonFields::text(std::string_view key) const {
  const Json& value = at(key);
  if (!value.is_string()) fail(key, "a string");
  return value.get<std::string>();
}

std::int64_t JsonFields::integer(std::string_view key) const {
  const Json& value = at(key);
  if (!value.is_number_integer()) fail(key, "a whole number");
  return integer_from_json(value, fmt::format("{}: {}", where_, key));
}

double JsonFields::number(std::string_view key) const {
  return number_from_json(at(key), fmt::format("{}: {}", where_, key));
}

double JsonFields::number_or_unknown(std::string_view key) const {
  return at(key).is_null() ? std::numeric_limits<double>::quiet_NaN() : number(key);
}

const Json& JsonFields::object(std::string_view key) const {
  const Json& value = at(key);
  if (!value.is_object()) fail(key, "an object");
  return value;
}

}  // namespace evenkeel::runs
