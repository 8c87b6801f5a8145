#include "evenkeel/spec/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "evenkeel/base/error.h"
#include "evenkeel/base/printable.h"

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

SweepSpec sweep_from(Settings settings, const Settings& overrides) {
  for (const auto& [path, setting] : overrides) {
    settings[path] = setting;
    const bool axis = path.rfind("sweep.", 0) == 0;
    const std::string other = axis ? path.substr(6) : "sweep." + path;
    if (!overrides.count(other)) settings.erase(other);
  }
  SweepSpec spec;
  Settings words;
  for (const auto& [path, setting] : settings) {
    if (path.rfind("study.", 0) == 0) words[path.substr(6)] = setting;
    else if (path.rfind("sweep.", 0) == 0) {
      const std::string field = path.substr(6);
      spec.axes.push_back({field, axis_values(field, setting), setting.origin});
    } else {
      spec.base[path] = setting;
    }
  }
  bind(spec.study, words);
  // Each value of each axis must be one its field takes; contradictions between fields show when cells are
  // planned.
  for (const Axis& axis : spec.axes) {
    if (spec.base.count(axis.path)) {
      throw InputError(fmt::format("[{}] is both fixed ({}) and swept ({}); keep one", axis.path,
                                   spec.base.at(axis.path).origin, axis.origin));
    }
    for (const Json& value : axis.values) {
      Experiment scratch;
      bind(scratch, Settings{{axis.path, {value, axis.origin}}});
    }
  }
  Experiment scratch;
  bind(scratch, spec.base);
  return spec;
}

}  // namespace evenkeel
