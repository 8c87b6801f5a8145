#include "evenkeel/runs/import.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <system_error>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/base/version.h"
#include "evenkeel/config/settings.h"
#include "evenkeel/runs/csv.h"
#include "evenkeel/runs/run_writer.h"
#include "evenkeel/telemetry/detectors.h"

namespace evenkeel::runs {
namespace {

constexpr std::int64_t kLastStep = 1'000'000'000'000;
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
const std::vector<std::string> kFields{"run",  "step", "loss", "train_loss", "lr", "params",
                                       "size", "seed", "arm",  "l0",         "h1"};

// One row of the table under the names of the map.
class RowReader {
 public:
  RowReader(const fs::path& file, const CsvTable& table, const ImportMap& map) : file_(file.string()) {
    for (const auto& [field, column] : map) {
      const auto it = std::find(table.header.begin(), table.header.end(), column);
      if (it == table.header.end()) {
        const std::string guess = did_you_mean(column, table.header);
        throw InputError(fmt::format("--map {}={}: {} has no column \"{}\"; {}", field, column, file_, column,
                                     guess.empty() ? fmt::format("it has {}", fmt::join(table.header, ", "))
                                                   : fmt::format("did you mean \"{}\"?", guess)));
      }
      columns_[field] = static_cast<std::size_t>(it - table.header.begin());
    }
  }

  bool has(const std::string& field) const { return columns_.count(field) > 0; }

  std::string text(const CsvRow& row, const std::string& field) const {
    if (!has(field)) return "";
    const std::string value = trimmed(row.cells[columns_.at(field)]);
    if (value.empty()) fail(row, field, "is empty");
    return value;
  }

  /// NaN when the field is not mapped.
  double number(const CsvRow& row, const std::string& field) const {
    if (!has(field)) return kUnknown;
    const std::string value = text(row, field);
    const char* begin = value.data() + (value[0] == '+' ? 1 : 0);
    const char* end = value.data() + value.size();
    double x = 0;
    const auto [stop, error] = std::from_chars(begin, end, x);
    if (error != std::errc() || stop != end)
      fail(row, field, "must be a number, got \"" + shortened(value) + "\"");
    return x;
  }

  std::int64_t whole(const CsvRow& row, const std::string& field, std::int64_t absent) const {
    if (!has(field)) return absent;
    const double x = number(row, field);  // tables made by others write 300.0 and 9.8e4
    if (!(x >= 0 && x < 9e15 && x == std::floor(x))) {
      fail(row, field, "must be a whole number >= 0, got \"" + shortened(text(row, field)) + "\"");
    }
    return static_cast<std::int64_t>(x);
  }

  std::int64_t step(const CsvRow& row) const {
    const std::int64_t step = whole(row, "step", 0);
    if (step > kLastStep) fail(row, "step", fmt::format("must be at most {}, got {}", kLastStep, step));
    return step;
  }

  [[noreturn]] void fail(const CsvRow& row, const std::string& field, const std::string& what) const {
    throw InputError(fmt::format("{}:{}: [{}] {}", file_, row.line, field, what));
  }

  const std::string& file() const { return file_; }

 private:
  std::string file_;
  std::map<std::string, std::size_t> columns_;
};

struct Point {
  double loss = kUnknown, train_loss = kUnknown;
};

struct ImportedRun {
  std::string name;
  std::int64_t line = 0;
  Imported facts;
  double l0 = kUnknown, h1 = kUnknown;
  std::map<std::int64_t, Point> points;  ///< by step
};

Imported facts_of(const RowReader& reader, const CsvRow& row) {
  Imported facts;
  facts.source = fmt::format("{}:{}", fs::path(reader.file()).filename().string(), row.line);
  facts.arm = reader.text(row, "arm");
  facts.size = reader.text(row, "size");
  facts.params = reader.whole(row, "params", -1);
  facts.seed = reader.whole(row, "seed", 0);
  facts.lr = reader.number(row, "lr");
  if (reader.has("lr") && !(facts.lr > 0 && std::isfinite(facts.lr))) {
    reader.fail(row, "lr", "must be a finite number > 0, got \"" + shortened(reader.text(row, "lr")) + "\"");
  }
  return facts;
}

bool same(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

// What does not change over a run must not.
void check_same(const RowReader& reader, const CsvRow& row, const ImportedRun& run, const Imported& facts,
                double l0, double h1) {
  const auto differs = [&](const char* field) {
    reader.fail(row, field,
                fmt::format("differs from line {} of the same run \"{}\"", run.line, shortened(run.name)));
  };
  if (facts.arm != run.facts.arm) differs("arm");
  if (facts.size != run.facts.size) differs("size");
  if (facts.params != run.facts.params) differs("params");
  if (facts.seed != run.facts.seed) differs("seed");
  if (!same(facts.lr, run.facts.lr)) differs("lr");
  if (!same(l0, run.l0)) differs("l0");
  if (!same(h1, run.h1)) differs("h1");
}

std::string identity_text(const Imported& facts) {
  return json_text({facts.arm, facts.size, facts.params, facts.lr, facts.seed});
}

std::vector<ImportedRun> gather(const RowReader& reader, const CsvTable& table) {
  std::vector<ImportedRun> runs;
  std::map<std::string, std::size_t> index;
  for (const CsvRow& row : table.rows) {
    const Imported facts = facts_of(reader, row);
    const double l0 = reader.number(row, "l0"), h1 = reader.number(row, "h1");
    const std::string key = reader.has("run") ? reader.text(row, "run") : identity_text(facts);
    const auto [it, is_new] = index.emplace(key, runs.size());
    if (is_new) {
      const std::string name = reader.has("run") ? key : fmt::format("line{:06}", row.line);
      runs.push_back({name, row.line, facts, l0, h1, {}});
    }
    ImportedRun& run = runs[it->second];
    if (!is_new && !reader.has("step")) {
      reader.fail(
          row, "run",
          fmt::format(
              "is the same as in line {}; map step=COLUMN if rows are steps of one run, or a column that "
              "tells runs apart (run, seed)",
              run.line));
    }
    check_same(reader, row, run, facts, l0, h1);
    const Point point{reader.number(row, "loss"), reader.number(row, "train_loss")};
    const std::int64_t step = reader.step(row);
    if (!run.points.emplace(step, point).second) {
      reader.fail(row, "step", fmt::format("{} appears twice in run \"{}\"", step, shortened(run.name)));
    }
  }
  return runs;
}

// A folder name that any file system takes and that no other run has.
std::string folder_name(const std::string& name, std::set<std::string>& taken) {
  std::string safe = name.substr(0, 100);
  for (char& c : safe) {
    const bool plain =
        std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' || c == '=';
    if (!plain) c = '_';
  }
  if (safe[0] == '.') safe[0] = '_';
  std::string unique = safe;
  for (int i = 2; !taken.insert(unique).second; ++i) unique = fmt::format("{}-{}", safe, i);
  return unique;
}

Result result_of(const ImportedRun& run, bool has_steps) {
  const auto& [last_step, last] = *run.points.rbegin();
  Result result;
  result.steps = last_step;
  result.final_loss = last.loss;
  result.train_loss = last.train_loss;
  result.l0 = run.l0;
  if (has_steps) {
    if (std::isnan(run.l0) && run.points.count(0) && run.points.size() > 1) result.l0 = run.points.at(0).loss;
    for (auto it = run.points.rbegin(); it != run.points.rend() && !std::isfinite(it->second.loss); ++it)
      result.nonfinite_step = it->first;
  }
  result.label = label_of(result.nonfinite_step, result.final_loss, run.h1);
  return result;
}

/// Losses that are not finite although a finite one follows.
std::int64_t isolated_nonfinite(const ImportedRun& run) {
  std::int64_t isolated = 0, pending = 0;
  for (const auto& [step, point] : run.points) {
    if (!std::isfinite(point.loss)) {
      ++pending;
    } else {
      isolated += pending;
      pending = 0;
    }
  }
  return isolated;
}

void write_run(const fs::path& folder, const ImportedRun& run, const ImportMap& map) {
  Manifest manifest;
  manifest.imported = run.facts;
  manifest.arm = run.facts.arm;
  manifest.config_hash = content_hash(run.name + identity_text(run.facts)).substr(0, 16);
  manifest.data.name = "imported";
  manifest.data.h1 = run.h1;
  manifest.versions = {{"evenkeel", kVersion}, {"format", 1}};
  manifest.environment = Json::object();
  const RunLock lock(folder);
  RunWriter writer = RunWriter::start(lock, manifest);
  const bool has_steps = map.count("step") > 0;
  for (const auto& [step, point] : run.points) {
    if (!has_steps) break;  // a final loss without its step is in result.json only
    Json record = {{"step", step}, {"loss/valid/ce", point.loss}};
    if (map.count("train_loss")) record["loss/train/ce"] = point.train_loss;
    writer.metrics(record);
  }
  Result result = result_of(run, has_steps);
  // Of the validation loss alone: the training losses of a table need not be those of every step.
  telemetry::RelapseDetector relapse(result.l0);
  for (const auto& [step, point] : run.points) {
    if (!has_steps) break;
    if (result.nonfinite_step == step)
      writer.event({{"step", step}, {"kind", "nonfinite"}, {"what", "loss"}});
    if (step == 0) continue;  // l0
    if (const auto event = relapse.valid_loss(step, point.loss)) writer.event(*event);
  }
  result.relapse_step = relapse.since();
  result.relapsed = result.relapse_step.has_value();
  writer.finish(result);
}

}  // namespace

ImportMap parse_import_map(const std::vector<std::string>& words) {
  ImportMap map;
  for (const std::string& word : words) {
    for (std::size_t at = 0; at <= word.size();) {
      const std::size_t comma = std::min(word.find(',', at), word.size());
      const std::string pair = word.substr(at, comma - at);
      at = comma + 1;
      const auto equals = pair.find('=');
      if (equals == std::string::npos || equals == 0 || equals + 1 == pair.size()) {
        throw InputError(
            fmt::format("--map needs field=column, for example --map loss=final_loss, got \"{}\"", pair));
      }
      const std::string field = trimmed(pair.substr(0, equals));
      if (std::find(kFields.begin(), kFields.end(), field) == kFields.end()) {
        const std::string guess = did_you_mean(field, kFields);
        throw InputError(fmt::format("--map has no field \"{}\"; {}", field,
                                     guess.empty()
                                         ? fmt::format("the fields are {}", fmt::join(kFields, ", "))
                                         : fmt::format("did you mean \"{}\"?", guess)));
      }
      if (!map.emplace(field, trimmed(pair.substr(equals + 1))).second) {
        throw InputError(fmt::format("--map gives field \"{}\" twice; keep one", field));
      }
    }
  }
  if (!map.count("loss")) throw InputError("--map must name the column of the loss: --map loss=COLUMN");
  return map;
}

std::size_t check_csv(std::string_view text, const fs::path& file, const ImportMap& map) {
  const CsvTable table = parse_csv(text, file.string());
  return gather(RowReader(file, table, map), table).size();
}

ImportSummary import_csv(const fs::path& file, const ImportMap& map, const fs::path& out) {
  std::string text;
  try {
    text = read_file(file);
  } catch (const EnvironmentError& e) {
    throw InputError(e.what());
  }
  const CsvTable table = parse_csv(text, file.string());
  const std::vector<ImportedRun> runs = gather(RowReader(file, table, map), table);
  std::error_code error;
  if (fs::exists(out, error) && !(fs::is_directory(out, error) && fs::is_empty(out, error))) {
    throw InputError(out.string() + " is there and not empty; choose another --out");
  }
  std::set<std::string> taken;
  ImportSummary summary;
  summary.rows = static_cast<std::int64_t>(table.rows.size());
  if (!table.whole) summary.open_line = table.rows.back().line;
  try {
    for (const ImportedRun& run : runs) {
      const fs::path folder = out / folder_name(run.name, taken);
      write_run(folder, run, map);
      ++summary.runs;
      summary.nonfinite += read_result(folder)->label == "nonfinite";
      summary.isolated_nonfinite += isolated_nonfinite(run);
    }
  } catch (...) {  // a full disk: the same command must work once there is space
    for (const std::string& name : taken) fs::remove_all(out / name, error);
    throw;
  }
  return summary;
}

}  // namespace evenkeel::runs
