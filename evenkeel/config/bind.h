// Between Settings and config structs (config/field.h): bind reads and checks, to_json writes, describe
// lists.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "evenkeel/base/error.h"
#include "evenkeel/config/field.h"
#include "evenkeel/config/settings.h"

namespace evenkeel {

/// One leaf field, for help, schema and docs.
struct FieldDoc {
  std::string path, type, default_value, range, doc, source;
  bool hashed = true;
  bool sparse = false;
  Json value{};  ///< the default
};

namespace bind_detail {

[[noreturn]] void wrong_value(const std::string& path, const std::string& expected, const Setting& setting);
void check_range(const std::string& path, double value, const FieldInfo& info, const Setting& setting);
std::string range_text(const FieldInfo& info);
/// 3, and 3.0 up to 1e15, which tables and other programs write; nullopt for what is no whole number or does
/// not fit.
std::optional<std::int64_t> whole_number(const Json& value);

template <class T>
void read(const std::string& path, T& out, const FieldInfo& info, const Setting& s) {
  const Json& v = s.value;
  if constexpr (is_optional<T>::value) {
    if (v.is_null() || v == "auto") {
      out.reset();
    } else {
      typename T::value_type inner{};
      read(path, inner, info, s);
      out = inner;
    }
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!v.is_boolean()) wrong_value(path, "true or false", s);
    out = v.get<bool>();
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    const auto whole = whole_number(v);
    if (!whole) wrong_value(path, "a whole number" + range_text(info), s);
    out = *whole;
    check_range(path, static_cast<double>(out), info, s);
  } else if constexpr (std::is_same_v<T, double>) {
    if (!v.is_number()) wrong_value(path, "a number" + range_text(info), s);
    out = v.get<double>();
    if (!std::isfinite(out)) wrong_value(path, "a finite number" + range_text(info), s);
    check_range(path, out, info, s);
  } else if constexpr (std::is_same_v<T, Duration>) {
    std::optional<Duration> d;
    if (v.is_number_integer())
      d = Duration{static_cast<double>(whole_number(v).value_or(-1)), Duration::Unit::kStep};
    if (v.is_string()) d = Duration::parse(v.get<std::string>());
    if (!d || d->value < 0)
      wrong_value(path, "a length of training such as \"40step\", \"10Mtok\" or \"5%\", at most 1e15", s);
    out = *d;
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!v.is_string()) wrong_value(path, "a string", s);
    out = v.get<std::string>();
  } else {
    static_assert(std::is_enum_v<T>, "unsupported field type");
    std::string choices;
    for (const auto& [value, name] : EnumNames<T>::names) {
      if (v == name) {
        out = value;
        return;
      }
      choices += (choices.empty() ? "" : ", ") + std::string(name);
    }
    wrong_value(path, "one of " + choices, s);
  }
}

template <class T>
Json write(const T& value) {
  if constexpr (is_optional<T>::value) {
    return value ? write(*value) : Json("auto");
  } else if constexpr (std::is_enum_v<T>) {
    return std::string(enum_name(value));
  } else if constexpr (std::is_same_v<T, Duration>) {
    return value.text();
  } else if constexpr (std::is_same_v<T, double>) {
    return value;
  } else {
    return value;
  }
}

template <class T>
std::string type_text() {
  if constexpr (is_optional<T>::value) {
    return type_text<typename T::value_type>() + " or \"auto\"";
  } else if constexpr (std::is_enum_v<T>) {
    std::string names;
    for (const auto& [value, name] : EnumNames<T>::names)
      names += (names.empty() ? "" : " | ") + std::string(name);
    return names;
  } else if constexpr (std::is_same_v<T, bool>) {
    return "true | false";
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    return "integer";
  } else if constexpr (std::is_same_v<T, double>) {
    return "number";
  } else if constexpr (std::is_same_v<T, Duration>) {
    return "duration";
  } else {
    return "string";
  }
}

/// Calls leaf(path, member, info) for every leaf field of `config`, in order of declaration.
template <class C, class Leaf>
void walk(C& config, const std::string& prefix, Leaf&& leaf) {
  std::remove_const_t<C>::fields(config, [&](const char* name, auto& member, FieldInfo info = {}) {
    using M = std::remove_cvref_t<decltype(member)>;
    const std::string path = prefix.empty() ? name : prefix + "." + name;
    if constexpr (ConfigStruct<M>) {
      walk(member, path, leaf);
    } else {
      leaf(path, member, info);
    }
  });
}

[[noreturn]] void unknown_key(const std::string& path, const Setting& setting,
                              const std::vector<std::string>& known);

}  // namespace bind_detail

/// Puts every setting into its field. Throws InputError for an unknown key (with "did you mean"), a wrong
/// type or a value out of range.
/// Takes Settings of any value category: argument-dependent lookup also finds std::bind, which would win, and
/// do nothing, for anything but a const lvalue.
template <class C, class S>
requires std::is_same_v<std::remove_cvref_t<S>, Settings>
void bind(C& config, S&& settings, const std::string& prefix = "") {
  std::vector<std::string> known;
  std::size_t used = 0;
  bind_detail::walk(config, prefix, [&](const std::string& path, auto& member, const FieldInfo& info) {
    known.push_back(path);
    if (const auto it = settings.find(path); it != settings.end()) {
      bind_detail::read(path, member, info, it->second);
      ++used;
    }
  });
  if (used == settings.size()) return;
  for (const auto& [path, setting] : settings) {
    if (std::find(known.begin(), known.end(), path) == known.end())
      bind_detail::unknown_key(path, setting, known);
  }
}

/// Where the field `path` stands in nested JSON.
inline Json::json_pointer json_pointer_of(const std::string& path) {
  std::string pointer = "/" + path;
  std::replace(pointer.begin(), pointer.end(), '.', '/');
  return Json::json_pointer(pointer);
}

/// The config as nested JSON.
template <class C>
Json to_json(const C& config) {
  Json document = Json::object();
  bind_detail::walk(config, "", [&](const std::string& path, const auto& member, const FieldInfo&) {
    document[json_pointer_of(path)] = bind_detail::write(member);
  });
  return document;
}

/// Every leaf field with its default, in order of declaration.
template <class C>
std::vector<FieldDoc> describe() {
  std::vector<FieldDoc> docs;
  const C defaults{};
  bind_detail::walk(defaults, "", [&](const std::string& path, const auto& member, const FieldInfo& info) {
    using M = std::remove_cvref_t<decltype(member)>;
    const Json value = bind_detail::write(member);
    docs.push_back({path, bind_detail::type_text<M>(),
                    value.is_string() ? value.get<std::string>() : value.dump(),
                    bind_detail::range_text(info), info.doc, info.source, info.hashed, info.sparse, value});
  });
  return docs;
}

/// Takes fields out of a config's JSON: those of which `goes(field, value)` is true. Keys that C does not
/// know stay.
template <class C>
void remove_fields(Json& config, auto&& goes) {
  for (const FieldDoc& field : describe<C>()) {
    Json::json_pointer at = json_pointer_of(field.path);
    if (!config.contains(at) || !goes(field, config[at])) continue;
    do {  // a section that is left empty goes too
      const std::string key = at.back();
      at.pop_back();
      config[at].erase(key);
    } while (!at.empty() && config[at].empty());
  }
}

/// True of a field that older versions do not know and that says nothing to them (FieldInfo::sparse).
inline bool is_new_and_default(const FieldDoc& field, const Json& value) {
  return field.sparse && value == field.value;
}

/// Leaves in a config's JSON what decides the result.
template <class C>
void keep_identity(Json& config) {
  remove_fields<C>(config, [](const FieldDoc& field, const Json& value) {
    return !field.hashed || is_new_and_default(field, value);
  });
}

}  // namespace evenkeel
