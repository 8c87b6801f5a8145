// Typed fields, each declared once. A config struct lists its members in one template:
//
//   struct OptimSpec {
//     double lr = 1e-2;
//     static void fields(auto& self, auto&& visit) {
//       visit("lr", self.lr, {.doc = "Peak learning rate.", .min = 0, .above_min = true});
//     }
//   };
//
// Reading, range checks, help, schema, resolved JSON, hash and axis labels are all derived from that listing.
// Member types: bool, std::int64_t, double, std::string, Duration, an enum with EnumNames, std::optional of
// one of these (unset prints as "auto": the program chooses, and the resolved config shows what it chose), or
// a nested config struct.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "evenkeel/base/json.h"
#include "evenkeel/config/duration.h"

namespace evenkeel {

struct FieldInfo {
  const char* doc = "";     ///< one or two sentences: meaning, unit, what "off" is
  const char* source = "";  ///< where the definition or default comes from
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool above_min = false;  ///< min itself is not allowed
  bool hashed =
      true;  ///< false: does not change the result (a path, a title), so not part of the cell's identity
  /// Part of the identity only where it differs from its default: runs from before the field keep theirs. For
  /// every field that is added; its default must not change afterwards.
  bool sparse = false;
};

/// Specialise with `static constexpr std::array names{std::pair{E::kX, "x"}, ...}` for each enum used in a
/// config.
template <class E>
struct EnumNames;

template <class E>
std::string_view enum_name(E value) {
  for (const auto& [v, name] : EnumNames<E>::names)
    if (v == value) return name;
  return "?";
}

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};

struct FieldProbe {
  template <class T>
  void operator()(const char*, T&&, FieldInfo = {}) {}
};
template <class T>
concept ConfigStruct = std::is_class_v<T> && requires(T& t) {
  T::fields(t, FieldProbe{});
};

}  // namespace evenkeel
