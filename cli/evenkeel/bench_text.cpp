#include "cli/evenkeel/bench_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace evenkeel::cli {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string number_text(const Json& object, const char* key, const char* pattern) {
  if (!object.contains(key) || !object[key].is_number()) return "-";
  return fmt::format(fmt::runtime(pattern), object[key].get<double>());
}

std::string range_text(const Json& range) {
  return fmt::format("{}-{}", count_text(range[0].get<double>()), count_text(range[1].get<double>()));
}

std::string bytes_text(const Json& object, const char* key) {
  if (!object.contains(key)) return "-";
  return fmt::format("{:.2f} GB", object[key].get<double>() / 1e9);
}

/// Name and object of every config, in the order they were asked for.
using Configs = std::vector<std::pair<std::string, Json>>;

/// `rows` without the columns that hold nothing.
Rows filled(const Rows& rows) {
  Rows kept(rows.size());
  for (std::size_t column = 0; column < rows[0].size(); ++column) {
    const bool used =
        std::any_of(rows.begin() + 1, rows.end(), [&](const auto& row) { return row[column] != "-"; });
    for (std::size_t i = 0; used && i < rows.size(); ++i) kept[i].push_back(rows[i][column]);
  }
  return kept;
}

std::string speed_table(const Configs& configs, const Style& style) {
  Rows rows{{"config", "tokens/s", "range", "telemetry", "upper 95 %", "memory", "answers"}};
  for (const auto& [name, c] : configs) {
    const Json telemetry = c.value("telemetry_overhead", Json::object());
    const bool timed = c.contains("tokens_per_s");
    rows.push_back({name, timed ? count_text(c["tokens_per_s"].get<double>()) : "-",
                    timed ? range_text(c["tokens_per_s_range"]) : "-",
                    number_text(telemetry, "median", "{:.3f}"), number_text(telemetry, "upper95", "{:.3f}"),
                    bytes_text(c, "peak_bytes"), c["answers_checked"] == true ? "checked" : "WRONG"});
  }
  return table_text(filled(rows), style);
}

std::string peer_table(const Configs& configs, const Style& style) {
  Rows rows{{"config", "peer", "tokens/s", "ours / peer", "range"}};
  std::string missing;
  for (const auto& [name, c] : configs) {
    const Json peers = c.value("peers", Json::object());
    for (const auto& [peer, entry] : peers.items()) {
      if (entry.contains("why")) {
        missing += fmt::format("{}: no figure for {}: {}\n", name, peer, entry["why"].get<std::string>());
        continue;
      }
      const Json& range = c["ratio_range"][peer];
      rows.push_back({name, peer, count_text(entry["tokens_per_s"].get<double>()),
                      fmt::format("{:.2f}", c["ratio"][peer].get<double>()),
                      fmt::format("{:.2f}-{:.2f}", range[0].get<double>(), range[1].get<double>())});
    }
  }
  std::string text;
  if (rows.size() > 1) text += fmt::format("\n{}", table_text(rows, style, 2));
  if (!missing.empty()) text += fmt::format("\n{}", missing);
  return text;
}

std::string treatment_table(const Configs& configs, const Style& style) {
  Rows rows{{"config", "treatment", "treated / baseline", "upper 95 %"}};
  std::string missing;
  for (const auto& [name, c] : configs) {
    const Json treatments = c.value("treatments", Json::object());
    for (const auto& [treatment, entry] : treatments.items()) {
      if (!entry.contains("median")) {
        missing +=
            fmt::format("{}: no figure for {}: {}\n", name, treatment, entry["why"].get<std::string>());
        continue;
      }
      rows.push_back(
          {name, treatment, number_text(entry, "median", "{:.3f}"), number_text(entry, "upper95", "{:.3f}")});
    }
  }
  std::string text;
  if (rows.size() > 1) text += fmt::format("\n{}", table_text(rows, style, 2));
  if (!missing.empty()) text += fmt::format("\n{}", missing);
  return text;
}

std::string collapsed_table(const Configs& configs, const Style& style) {
  Rows rows{{"config", "path", "collapsed / healthy", "upper 95 %", "entropy"}};
  std::string missing;
  for (const auto& [name, c] : configs) {
    const Json paths = c.value("collapsed", Json::object());
    for (const auto& [path, entry] : paths.items()) {
      if (!entry.contains("median")) {
        missing += fmt::format("{}: no figure for {}: {}\n", name, path, entry["why"].get<std::string>());
        continue;
      }
      rows.push_back({name, path, number_text(entry, "median", "{:.3f}"),
                      number_text(entry, "upper95", "{:.3f}"),
                      fmt::format("{} / {}", number_text(entry["entropy_norm"], "collapsed", "{:.3f}"),
                                  number_text(entry["entropy_norm"], "healthy", "{:.3f}"))});
    }
  }
  std::string text;
  if (rows.size() > 1) text += fmt::format("\n{}", table_text(rows, style, 2));
  if (!missing.empty()) text += fmt::format("\n{}", missing);
  return text;
}

std::string denormals_table(const Configs& configs, const Style& style) {
  Rows rows{{"config", "kernel on denormals / others", "flushed", "range", "kept", "range"}};
  const auto ratios = [](const Json& entry) {
    const Json& range = entry["ratio_range"];
    return std::pair{number_text(entry, "ratio", "{:.2f}"),
                     fmt::format("{:.2f}-{:.2f}", range[0].get<double>(), range[1].get<double>())};
  };
  for (const auto& [name, c] : configs) {
    const Json kernels = c.value("denormals", Json::object());
    for (const auto& [kernel, entry] : kernels.items()) {
      const auto [flushed, flushed_range] = ratios(entry["flushed"]);
      const auto [kept, kept_range] = ratios(entry["kept"]);
      rows.push_back({name, kernel, flushed, flushed_range, kept, kept_range});
    }
  }
  return rows.size() > 1 ? fmt::format("\n{}", table_text(rows, style, 2)) : "";
}

std::string loaded_table(const Configs& configs, const Style& style) {
  Rows rows{{"config", "beside", "tokens/s", "of alone", "range"}};
  std::string missing;
  for (const auto& [name, c] : configs) {
    if (!c.contains("loaded")) continue;
    const Json& loaded = c["loaded"];
    if (loaded.contains("why")) {
      missing += fmt::format("{}: no figure for loaded: {}\n", name, loaded["why"].get<std::string>());
      continue;
    }
    rows.push_back({name, "nobody", count_text(loaded["alone"].get<double>()), "-", "-"});
    for (const auto& [key, words] :
         {std::pair{"busy", "a busy process"}, {"niced", "a busy process, nice 10"}}) {
      const Json& entry = loaded[key];
      rows.push_back({name, words, count_text(entry["tokens_per_s"].get<double>()),
                      number_text(entry, "ratio", "{:.2f}"),
                      fmt::format("{:.2f}-{:.2f}", entry["ratio_range"][0].get<double>(),
                                  entry["ratio_range"][1].get<double>())});
    }
  }
  std::string text;
  if (rows.size() > 1) text += fmt::format("\n{}", table_text(rows, style, 2));
  if (!missing.empty()) text += fmt::format("\n{}", missing);
  return text;
}

std::string same_text(const Json& bits, const char* path) {
  const auto word = [&](const char* what) { return bits[path][what] == true ? "same" : "other"; };
  return fmt::format("{} ops: {} bits with 1 and 2 threads, {} with telemetry on and off", path,
                     word("threads"), word("telemetry"));
}

std::string sentences(const Configs& configs) {
  std::string text;
  for (const auto& [name, c] : configs) {
    if (c.contains("why")) text += fmt::format("{}: {}\n", name, c["why"].get<std::string>());
    if (c.contains("processes")) {
      const Json& p = c["processes"];
      text += fmt::format("{}: two one-thread processes make {} times the tokens of one with two threads\n",
                          name, number_text(p, "ratio", "{:.2f}"));
    }
    if (c.contains("first_step_s")) {
      text += fmt::format("{}: first step {} s after the program was started\n", name,
                          number_text(c["first_step_s"], "median", "{:.2f}"));
    }
    if (c.contains("bits")) {
      for (const char* path : {"fused", "plain"})
        text += fmt::format("{}: {}\n", name, same_text(c["bits"], path));
    }
    if (c.contains("spectra_overhead")) {
      const Json& s = c["spectra_overhead"];
      text +=
          fmt::format("{}: a step with spectra takes {} times as long; once in {} steps {}, at most {}\n",
                      name, number_text(s, "median", "{:.2f}"), s["cadence"].get<int>(),
                      number_text(s, "amortised", "{:.4f}"), number_text(s, "amortised_upper95", "{:.4f}"));
    }
    if (c.value("/spectra_overhead/same_losses"_json_pointer, true) != true)
      text += fmt::format("{}: spectra CHANGED the losses\n", name);
    if (c.contains("telemetry_overhead") && c["telemetry_overhead"]["same_losses"] != true)
      text += fmt::format("{}: telemetry CHANGED the losses\n", name);
  }
  return text.empty() ? text : fmt::format("\n{}", text);
}

std::string value_text(const Json& value) {
  if (value.is_boolean()) return value == true ? "yes" : "no";
  const double x = value.get<double>();
  return x >= 1e6 ? fmt::format("{:.2f} GB", x / 1e9) : fmt::format("{:.5g}", x);
}

std::string bar_table(const Json& bars, const Style& style) {
  if (bars.empty()) return "";
  Rows rows{{"config", "bar", "measured", "asked", "aim", "result"}};
  bool elsewhere = false;
  for (const Json& bar : bars) {
    const bool least = bar.contains("at_least");
    const bool yes_or_no = bar["measured"].is_boolean();
    const std::string asked = value_text(bar[least ? "at_least" : "at_most"]);
    const bool applies = bar["applies"] == true;
    elsewhere = elsewhere || !applies;
    rows.push_back({bar["config"].get<std::string>(), bar["what"].get<std::string>(),
                    value_text(bar["measured"]),
                    yes_or_no ? "yes" : fmt::format("{} {}", least ? ">=" : "<=", asked),
                    bar["aim"].is_null() ? "-" : value_text(bar["aim"]),
                    fmt::format("{}{}", bar["pass"] == true ? "pass" : "miss", applies ? "" : " *")});
  }
  return fmt::format("\n{}{}", table_text(rows, style, 2),
                     elsewhere ? "* is for bf16 on the fused path, most for machines with AMX\n" : "");
}

}  // namespace

std::string bench_text(const Json& answer, const Style& style) {
  const Json& machine = answer.at("machine");
  std::string sets;
  for (const Json& set : machine.at("instruction_sets")) sets += fmt::format(" {}", set.get<std::string>());
  std::string text = fmt::format("{};{}; {} cores\n", machine.at("processor").get<std::string>(), sets,
                                 machine.at("cores").get<int>());
  if (const double load = machine.at("load").get<double>(); load > 0.5) {
    text += fmt::format("Other programs were running (load {:.1f}): the figures are too slow and uneven.\n",
                        load);
  }
  const Json& settings = answer.at("settings");
  text += fmt::format("evenkeel {}, LibTorch {}, {}, {} ops, {} threads, medians of {} rounds\n",
                      machine.at("evenkeel").get<std::string>(), machine.at("libtorch").get<std::string>(),
                      settings.at("precision").get<std::string>(), settings.at("ops").get<std::string>(),
                      settings.at("threads").get<int>(), settings.at("rounds").get<int>());
  for (const auto& [name, value] : machine.at("environment").items())
    text += fmt::format("{}={}\n", name, value.get<std::string>());
  Configs configs;
  for (const Json& name : settings.at("configs"))
    configs.emplace_back(name, answer.at("configs").at(name.get<std::string>()));
  text += fmt::format("\n{}", speed_table(configs, style));
  for (const auto& table : {peer_table, treatment_table, loaded_table, collapsed_table, denormals_table})
    text += table(configs, style);
  text += sentences(configs) + bar_table(answer.at("bars"), style);
  return text;
}

}  // namespace evenkeel::cli
