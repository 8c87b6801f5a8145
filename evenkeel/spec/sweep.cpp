#include "evenkeel/spec/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "evenkeel/base/error.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/spec/arm.h"

namespace evenkeel {
namespace {

// A value that reads back as typed: 0.03 and not 0.029999999999999995.
double tidy(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", x);
  return std::strtod(text, nullptr);
}

std::vector<Json> log_values(double a, double b, double n) {
  std::vector<Json> values;
  for (int i = 0; i < static_cast<int>(n); ++i) values.push_back(tidy(a * std::pow(b / a, i / (n - 1))));
  return values;
}

}  // namespace

std::vector<double> one_three_series(double low, double high) {
  std::vector<double> values;
  const int first = static_cast<int>(std::floor(std::log10(low))) - 1,
            last = static_cast<int>(std::ceil(std::log10(high)));
  for (int decade = first; decade <= last; ++decade) {
    for (const int digit : {1, 3}) {
      // Read from text, so that 0.3 is the number a config holds.
      const double x = std::strtod(fmt::format("{}e{}", digit, decade).c_str(), nullptr);
      if (x >= low * (1 - 1e-6) && x <= high * (1 + 1e-6)) values.push_back(x);
    }
  }
  return values;
}

std::vector<Json> axis_values(const std::string& path, const Setting& setting) {
  std::vector<Json> values;
  if (setting.value.is_array()) {
    values = setting.value.get<std::vector<Json>>();
  } else if (setting.value.is_string()) {
    const std::string text = setting.value.get<std::string>();
    double a = 0, b = 0, n = 0;
    int used = 0;
    const auto whole = [&] { return used == static_cast<int>(text.size()); };
    if (std::sscanf(text.c_str(), "log(%lf,%lf,%lf)%n", &a, &b, &n, &used) == 3 && whole() && a > 0 &&
        b > a && std::isfinite(b / a) && n >= 2 && n <= 1000 && n == std::floor(n)) {
      values = log_values(a, b, n);
    } else if (std::sscanf(text.c_str(), "series(%lf,%lf)%n", &a, &b, &used) == 2 && whole() && a > 0 &&
               b >= a && std::isfinite(b)) {
      const auto series = one_three_series(a, b);
      values.assign(series.begin(), series.end());
    }
  } else if (!setting.value.is_object()) {
    values = {setting.value};
  }
  if (values.empty()) {
    throw InputError(fmt::format(
        "[sweep] \"{}\" must be a non-empty list, \"log(1e-3, 1, 7)\" or \"series(3e-4, 3e-1)\", got {} ({})",
        shortened(path), excerpt(setting.value), setting.origin));
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (values[i] == values[j]) {
        throw InputError(fmt::format("[sweep] \"{}\" lists {} twice ({})", shortened(path),
                                     excerpt(values[i]), setting.origin));
      }
    }
  }
  return values;
}

namespace {

std::vector<std::string> split_at_commas(const std::string& name) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start <= name.size();) {
    const std::size_t end = std::min(name.find(',', start), name.size());
    const std::size_t first = name.find_first_not_of(' ', start);
    const std::string part = first < end ? name.substr(first, end - first) : "";
    parts.push_back(part.substr(0, part.find_last_not_of(' ') + 1));
    start = end + 1;
  }
  return parts;
}

std::vector<Axis::Point> zipped_points(const Axis& axis, const Setting& setting) {
  const std::size_t width = axis.paths.size();
  std::vector<Axis::Point> points;
  const bool rows = setting.value.is_array() && !setting.value.empty() &&
                    std::all_of(setting.value.begin(), setting.value.end(),
                                [&](const Json& row) { return row.is_array() && row.size() == width; });
  if (!rows) {
    throw InputError(fmt::format(
        "[sweep] \"{}\" moves {} fields together, so it must be a list of lists of {} values, got {} ({})",
        shortened(axis.name), width, width, excerpt(setting.value), setting.origin));
  }
  for (const Json& row : setting.value) {
    Axis::Point point;
    for (std::size_t i = 0; i < width; ++i) point.settings[axis.paths[i]] = row[i];
    points.push_back(std::move(point));
  }
  return points;
}

std::vector<Axis::Point> named_arms(const Setting& setting) {
  if (!setting.value.is_object() || setting.value.empty()) {
    throw InputError(fmt::format(
        "[sweep.arms] must name arms, such as plain = {{}} and calm = {{ \"optim.warmup\" = \"80step\" }}, "
        "got {} ({})",
        excerpt(setting.value), setting.origin));
  }
  std::vector<Axis::Point> points;
  for (const auto& [label, bundle] : setting.value.items()) {
    if (label.empty() || label.find_first_of("=,") != std::string::npos || !bundle.is_object()) {
      throw InputError(fmt::format(
          "[sweep.arms] \"{}\" must be a name without = and commas, and hold settings, got {} ({})",
          shortened(label), excerpt(bundle), setting.origin));
    }
    Axis::Point point{label, {}};
    for (const auto& [path, value] : settings_from_json(bundle, setting.origin))
      point.settings[path] = value.value;
    points.push_back(std::move(point));
  }
  return points;
}

// As a field holds it: 1 where 1.0 was written, a duration with its unit.
Json field_values(const Axis::Point& point, const std::string& origin) {
  Settings settings;
  for (const auto& [path, value] : point.settings) settings[path] = {value, origin};
  Experiment scratch;
  bind(scratch, settings);
  const Json all = to_json(scratch);
  Json values = Json::object();
  for (const auto& [path, value] : point.settings) values[path] = field_value(all, path);
  return values;
}

}  // namespace

Axis axis_from(const std::string& name, const Setting& setting) {
  Axis axis{name, {}, {}, setting.origin};
  if (name == kArmsAxis) {
    axis.points = named_arms(setting);
    std::set<std::string> paths;
    for (const Axis::Point& point : axis.points)
      for (const auto& [path, value] : point.settings) paths.insert(path);
    axis.paths.assign(paths.begin(), paths.end());
  } else {
    axis.paths = split_at_commas(name);
    if (axis.paths.size() > 1) {
      axis.points = zipped_points(axis, setting);
    } else {
      for (const Json& value : axis_values(name, setting)) axis.points.push_back({"", {{name, value}}});
    }
  }
  // Each value must be one that its field takes; contradictions between fields show when cells are planned.
  std::vector<Json> seen;
  for (const Axis::Point& point : axis.points) {
    const Json values = field_values(point, axis.origin);
    if (std::find(seen.begin(), seen.end(), values) != seen.end()) {
      throw InputError(fmt::format("[sweep] \"{}\" lists {} twice ({})", shortened(name),
                                   point.label.empty() ? excerpt(values) : point.label, axis.origin));
    }
    seen.push_back(values);
  }
  return axis;
}

Json to_json(const Axis& axis) {
  Json all = axis.name == kArmsAxis ? Json::object() : Json::array();
  for (const Axis::Point& point : axis.points) {
    if (axis.name == kArmsAxis) {
      all[point.label] = point.settings;
    } else if (axis.paths.size() == 1) {
      all.push_back(point.settings.begin()->second);
    } else {
      Json row = Json::array();
      for (const std::string& path : axis.paths) row.push_back(point.settings.at(path));
      all.push_back(std::move(row));
    }
  }
  return all;
}

std::string arm_name(const Json& config, const std::vector<Axis>& axes, const std::string& label) {
  std::vector<std::string> paths;
  for (const Axis& axis : axes)
    if (axis.name != kArmsAxis) paths.insert(paths.end(), axis.paths.begin(), axis.paths.end());
  if (label.empty()) return arm_name(config, paths);
  if (std::none_of(paths.begin(), paths.end(), is_arm)) return label;
  return label + "," + arm_name(config, paths);
}

bool fits(const std::string& arm, const Json& config, const std::vector<Axis>& axes) {
  for (const Axis& axis : axes) {
    if (axis.name != kArmsAxis) continue;
    for (const Axis::Point& point : axis.points) {
      if (arm != arm_name(config, axes, point.label)) continue;
      const Json values = field_values(point, axis.origin);
      bool holds = true;
      for (const auto& [path, value] : values.items())
        holds = holds && (value.is_null() || value == "auto" || field_value(config, path) == value);
      return holds;
    }
    return false;
  }
  return arm == arm_name(config, axes, "");
}

SweepSpec sweep_from(Settings settings, const Settings& overrides) {
  for (const auto& [path, setting] : overrides) {
    settings[path] = setting;
    // An axis takes the place of fixed values, a fixed value that of its field's own axis.
    const bool axis = path.rfind("sweep.", 0) == 0;
    for (const std::string& field : split_at_commas(axis ? path.substr(6) : path)) {
      const std::string other = axis ? field : "sweep." + field;
      if (!overrides.count(other)) settings.erase(other);
    }
  }
  SweepSpec spec;
  Settings words;
  for (const auto& [path, setting] : settings) {
    if (path.rfind("study.", 0) == 0) words[path.substr(6)] = setting;
    else if (path.rfind("sweep.", 0) == 0) {
      spec.axes.push_back(axis_from(path.substr(6), setting));
    } else {
      spec.base[path] = setting;
    }
  }
  bind(spec.study, words);
  std::map<std::string, std::string> swept;
  for (const Axis& axis : spec.axes) {
    for (const std::string& path : axis.paths) {
      // A bundle may change what all arms have from the study, but not what the command line fixes.
      if (spec.base.count(path) && (axis.name != kArmsAxis || overrides.count(path))) {
        throw InputError(fmt::format("[{}] is both fixed ({}) and swept ({}); keep one", path,
                                     spec.base.at(path).origin, axis.origin));
      }
      if (const auto [other, fresh] = swept.emplace(path, axis.origin); !fresh) {
        throw InputError(
            fmt::format("[{}] is swept twice ({}, {}); keep one", path, other->second, axis.origin));
      }
    }
  }
  Experiment scratch;
  bind(scratch, spec.base);
  return spec;
}

}  // namespace evenkeel
