#include "evenkeel/report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

#include "evenkeel/analysis/analysis.h"
#include "evenkeel/analysis/json.h"
#include "evenkeel/analysis/load.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/version.h"
#include "evenkeel/report/page.h"
#include "evenkeel/report/rounded.h"
#include "evenkeel/runs/summary.h"
#include "evenkeel/spec/arm.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::report {
namespace {

// What a report begins with, by which it is known.
constexpr std::string_view kOpening =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
constexpr std::string_view kGenerator = "<meta name=\"generator\" content=\"evenkeel ";
constexpr std::string_view kTitleEnd = " - evenkeel</title>";

// Points per curve: loss curves can be zoomed, the small multiples cannot.
constexpr std::size_t kLossPoints = 1200, kSmallPoints = 160;
// Cells with curves, and up to how many of them have all the points of a loss curve: beyond, a page would be
// slow to open and its lines not to be told apart.
constexpr std::size_t kDrawnCells = 400, kZoomedCells = 200;

Json number_or_null(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

Json series_json(const runs::Series& series, std::size_t max_points) {
  const runs::Series thinned = runs::thin(series, max_points);
  Json values = Json::array();
  for (const double v : thinned.values) values.push_back(rounded(v));
  return {{"steps", thinned.steps},
          {"values", values},
          {"recorded", std::max(series.recorded, series.steps.size())}};
}

Json grid_json(const std::vector<std::vector<double>>& grid) {
  Json rows = Json::array();
  for (const auto& row : grid) {
    Json values = Json::array();
    for (const double v : row) values.push_back(rounded(v));
    rows.push_back(std::move(values));
  }
  return rows;
}

Json attention_json(const runs::AttentionSignals& a) {
  return {{"kind", a.kind},
          {"logit", series_json(a.logit_max, kSmallPoints)},
          {"entropy", series_json(a.entropy_min, kSmallPoints)},
          {"qk_sigma", series_json(a.qk_sigma_max, kSmallPoints)},
          {"logit_peak", number_or_null(runs::peak(a.logit_max, true))},
          {"entropy_low", number_or_null(runs::peak(a.entropy_min, false))},
          {"qk_sigma_peak", number_or_null(runs::peak(a.qk_sigma_max, true))},
          {"end_entropy", grid_json(a.end_entropy)},
          {"end_logit", grid_json(a.end_logit_max)}};
}

/// Signals whose loss curves have `points` points or all that were recorded: a summary may have kept fewer.
runs::Signals signals_at(const runs::Cell& cell, std::size_t points) {
  runs::Signals s = runs::signals_of(cell);
  const auto short_of = [&](const runs::Series& series) {
    return series.recorded > series.steps.size() && points > runs::kSummaryPoints;
  };
  if (!short_of(s.train_loss) && !short_of(s.valid_loss)) return s;
  s.train_loss = s.valid_loss = {};
  runs::for_each_record(cell.run / "metrics.jsonl", [&](Json&& record) {
    runs::add_scalar(s.train_loss, record, "loss/train/ce");
    runs::add_scalar(s.valid_loss, record, "loss/valid/ce");
  });
  return s;
}

/// Of a cell; with curves of at most `points` points, or none.
Json cell_json(const analysis::LoadedCell& cell, const analysis::Analysis& result, std::size_t points) {
  const analysis::CellPoint& p = cell.point;
  Json json{{"arm", p.arm},
            {"size", p.size},
            {"lr", p.lr},
            {"seed", p.seed},
            {"steps", p.steps},
            {"label", p.label},
            {"unstable", nullptr},
            {"refined", p.refined},
            {"relapsed", p.label == "missing" ? Json(nullptr) : Json(p.relapsed)},
            {"effective_lr", number_or_null(p.effective_lr)},
            {"hash", cell.cell.config_hash},
            {"l0", number_or_null(p.l0)},
            {"params", p.params >= 0 ? Json(p.params) : Json(nullptr)},
            {"loss", p.label == "missing" ? Json(nullptr) : Json(p.loss)},
            {"step_ms", number_or_null(p.step_ms)},
            {"nonfinite_step", nullptr},
            {"relapse_step", nullptr}};
  if (const analysis::Curve* curve = result.find(p.arm, p.size)) {
    for (const auto& q : curve->points) {
      if (q.cell.seed != p.seed || !analysis::same_lr(q.cell.lr, p.lr) || q.cell.label == "missing") continue;
      json["label"] = q.cell.label;
      json["unstable"] = q.unstable;
    }
  }
  if (cell.cell.result && cell.cell.result->nonfinite_step)
    json["nonfinite_step"] = *cell.cell.result->nonfinite_step;
  if (cell.cell.result && cell.cell.result->relapse_step)
    json["relapse_step"] = *cell.cell.result->relapse_step;
  json["gap"] = nullptr;
  if (cell.cell.result)
    json["gap"] = number_or_null(cell.cell.result->final_loss - cell.cell.result->train_loss);
  if (!cell.begun) return json;

  const runs::Signals s = points > 0 ? signals_at(cell.cell, points) : runs::Signals{};
  const runs::Outcomes o = points > 0 ? s.outcomes : runs::outcomes_of(cell.cell);
  json["logit_peak"] = number_or_null(o.logit_peak);
  json["entropy_low"] = number_or_null(o.entropy_low);
  json["edge_peak"] = number_or_null(o.edge_peak);
  json["logit_mean_end"] = number_or_null(o.logit_mean_end);
  json["logz_end"] = number_or_null(o.logz_end);
  json["grad_rms_low"] = number_or_null(o.grad_rms_low);
  json["collapsed_share"] = number_or_null(o.collapsed_share);
  json["heads_step"] = o.heads_step;
  json["spikes"] = o.spikes;
  json["collapses"] = o.collapses;
  if (points == 0) return json;
  json["train"] = series_json(s.train_loss, points);
  json["valid"] = series_json(s.valid_loss, points);
  json["attention"] = Json::array();
  for (const runs::AttentionSignals& a : s.attention) json["attention"].push_back(attention_json(a));
  json["output"] = {{"mean", series_json(s.output_mean, kSmallPoints)},
                    {"logz", series_json(s.output_logz, kSmallPoints)}};
  if (!s.edge_ratio.values.empty()) json["edge_ratio"] = series_json(s.edge_ratio, kSmallPoints);
  return json;
}

/// Which cells have curves on the page: all, or the first seeds of every arm, size and learning rate, as many
/// as there is room for.
std::vector<bool> drawn(const analysis::LoadedSweep& sweep) {
  std::vector<bool> chosen(sweep.cells.size(), false);
  std::map<std::tuple<std::string, std::string, double>, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < sweep.cells.size(); ++i) {
    const analysis::CellPoint& p = sweep.cells[i].point;
    if (sweep.cells[i].begun) groups[{p.arm, p.size, p.lr}].push_back(i);
  }
  std::size_t left = kDrawnCells;
  for (std::size_t turn = 0, taken = 1; left > 0 && taken > 0; ++turn) {
    taken = 0;
    for (const auto& [group, cells] : groups) {
      if (turn >= cells.size() || left == 0) continue;
      chosen[cells[turn]] = true;
      ++taken;
      --left;
    }
  }
  return chosen;
}

/// Settings that all begun cells share, and the values of those that differ.
Json config_json(const analysis::LoadedSweep& sweep) {
  std::vector<const Json*> configs;
  for (const auto& c : sweep.cells) {
    if (c.begun && !c.cell.config.empty()) configs.push_back(&c.cell.config);
  }
  Json same = Json::array(), varied = Json::array();
  if (configs.empty()) return {{"same", same}, {"varied", varied}};
  for (const FieldDoc& field : describe<Experiment>()) {
    Json values = Json::array();
    const Json::json_pointer place = setting_pointer(field.path);
    const Json* last = nullptr;
    for (const Json* config : configs) {
      const Json& value = config->at(place);
      if (last && *last == value) continue;
      last = &value;
      if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
    }
    if (values.empty() || field.path == "data.path" || field.path == "data.valid_path") continue;
    std::sort(values.begin(), values.end());
    (values.size() > 1 ? varied : same)
        .push_back({{"path", field.path}, {"values", values}, {"doc", field.doc}});
  }
  return {{"same", same}, {"varied", varied}};
}

/// What sets a run apart, as far as it is a number and no part of what every cell says anyway.
Json numbers_of(const Json& config, const Json& varied) {
  Json numbers = Json::object();
  for (const Json& field : varied) {
    const std::string path = field.at("path");
    const Json& value = field_value(config, path);
    if (is_arm(path) && value.is_number()) numbers[path] = value;
  }
  return numbers;
}

/// Tokens of one step; null where runs differ in it or were made elsewhere.
Json tokens_per_step(const analysis::LoadedSweep& sweep) {
  Json tokens = nullptr;
  std::set<std::string> seen;
  for (const auto& c : sweep.cells) {
    if (!c.begun || c.cell.config.empty()) continue;
    const Json& config = c.cell.config;
    if (!seen.insert(config["arch"].dump() + config["data"].dump() + config["train"]["batch"].dump()).second)
      continue;
    const Json own = experiment_from_json(c.cell.config, c.cell.run.string()).tokens_per_step();
    if (!tokens.is_null() && tokens != own) return nullptr;
    tokens = own;
  }
  return tokens;
}

/// Facts of the data and of the machine, from the first run that has begun.
Json facts_json(const analysis::LoadedSweep& sweep) {
  for (const auto& c : sweep.cells) {
    if (!c.begun) continue;
    runs::Manifest m;
    try {
      m = runs::read_manifest(c.cell.run);
    } catch (const InputError&) {  // the next one tells as well
      continue;
    }
    Json facts{{"data", m.data.name},
               {"h1", number_or_null(m.data.h1)},
               {"bigram", number_or_null(m.data.bigram_entropy)},
               {"floor", number_or_null(m.data.floor)},
               {"train_tokens", m.data.train_tokens >= 0 ? Json(m.data.train_tokens) : Json(nullptr)},
               {"tokens_per_step", tokens_per_step(sweep)},
               {"imported", m.imported.has_value()},
               {"processor", nullptr}};
    if (m.environment.is_object() && m.environment.contains("processor"))
      facts["processor"] = m.environment["processor"];
    return facts;
  }
  return Json::object();
}

/// What the page says of the data it rests on; of many damaged files the first.
std::vector<std::string> notes_of(const analysis::LoadedSweep& sweep) {
  constexpr std::size_t kSaid = 10;
  std::vector<std::string> notes = sweep.notes;
  const std::size_t said = std::min(kSaid, sweep.damage.size());
  notes.insert(notes.end(), sweep.damage.begin(), sweep.damage.begin() + static_cast<std::ptrdiff_t>(said));
  if (said < sweep.damage.size())
    notes.push_back(fmt::format("{} more files are damaged", sweep.damage.size() - said));
  return notes;
}

/// JSON that may stand inside a script element: no "<" is left that could end it.
std::string inert(const Json& document) {
  std::string text;
  for (const char c : json_text(document, -1, true)) {
    if (c == '<') {
      text += "\\u003c";
    } else {
      text += c;
    }
  }
  return text;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace

Json rounded(double value) {
  if (!std::isfinite(value)) return value;
  const std::string text = fmt::format("{:.5g}", value);
  double back = 0;
  std::from_chars(text.data(), text.data() + text.size(), back);
  return back;
}

Json report_document(const std::vector<fs::path>& folders, const analysis::Options& options, Json probes) {
  const analysis::LoadedSweep sweep = analysis::load_sweep(folders);
  const analysis::Analysis result = analysis::analyze(sweep, options);
  Json document{{"format", 1},
                {"evenkeel", kVersion},
                {"title", sweep.study.title.empty() ? "Training stability" : sweep.study.title},
                {"study", to_json(sweep.study)},
                {"notes", notes_of(sweep)},
                {"damage", sweep.damage},
                {"analysis", analysis::analysis_json(result)},
                {"config", config_json(sweep)},
                {"facts", facts_json(sweep)},
                {"probes", std::move(probes)},
                {"cells", Json::array()}};
  const std::vector<bool> has_curves = drawn(sweep);
  const auto curves = static_cast<std::size_t>(std::count(has_curves.begin(), has_curves.end(), true));
  const auto begun =
      std::count_if(sweep.cells.begin(), sweep.cells.end(), [](const auto& c) { return c.begun; });
  if (curves < static_cast<std::size_t>(begun))
    document["notes"].push_back(fmt::format(
        "curves and heads of {} of the {} cells are on this page, the first seeds of every arm and "
        "learning rate or, where those are more, of the first by name; every cell counts in the tables, "
        "boundaries and intervals",
        curves, begun));
  const std::size_t points = curves <= kZoomedCells ? kLossPoints : runs::kSummaryPoints;
  for (std::size_t i = 0; i < sweep.cells.size(); ++i) {
    const analysis::LoadedCell& cell = sweep.cells[i];
    Json json = cell_json(cell, result, has_curves[i] ? points : 0);
    if (!cell.cell.config.empty()) {
      json["eps"] = field_value(cell.cell.config, "optim.eps");
      json["settings"] = numbers_of(cell.cell.config, document["config"]["varied"]);
    }
    document["cells"].push_back(std::move(json));
  }
  return document;
}

Json probes_document(Json probes) {
  return {{"format", 1}, {"evenkeel", kVersion}, {"title", "Probes"}, {"probes", std::move(probes)}};
}

std::string report_page(const Json& document) {
  std::string page(kOpening);
  page += fmt::format("{}{}\">\n", kGenerator, kVersion);
  page +=
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src "
      "'unsafe-inline'; "
      "style-src 'unsafe-inline'; img-src data:\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n<title>";
  page += escaped(document.value("title", "")) + std::string(kTitleEnd) + "\n<style>\n";
  page += page_style();
  page +=
      "</style>\n</head>\n<body>\n<main id=\"report\"><noscript>This report draws its charts with the script "
      "inside "
      "this file: allow scripts to see it.</noscript></main>\n<script type=\"application/json\" id=\"data\">";
  page += inert(document);
  page += "</script>\n<script>\n";
  page += page_script();
  page += "</script>\n</body>\n</html>\n";
  return page;
}

void refuse_foreign(const fs::path& html) {
  std::error_code error;
  if (!fs::is_regular_file(html, error) || fs::file_size(html, error) == 0) return;
  const std::string page = read_file(html);
  // Reports of earlier versions had no generator; their title ended as it does today.
  if (page.starts_with(kOpening) &&
      (page.find(kGenerator) == kOpening.size() || page.find(kTitleEnd) != std::string::npos))
    return;
  throw InputError(fmt::format(
      "{} is there and is no report of evenkeel, so it is not replaced; move it away, or choose another name",
      html.string()));
}

void write_report(const Json& document, const fs::path& html) {
  refuse_foreign(html);
  const std::string page = report_page(document);
  if (html.has_parent_path()) make_folder(html.parent_path());
  write_file(html, page);
}

}  // namespace evenkeel::report
