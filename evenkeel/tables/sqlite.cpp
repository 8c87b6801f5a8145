#include <fmt/format.h>
#include <sqlite3.h>

#include <cmath>
#include <map>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/tables/table_sink.h"

namespace evenkeel::tables {
namespace {

// SQLite keeps infinities but makes NULL of NaN: the column nonfinite tells it from what is missing.
constexpr const char* kSchema = R"(
CREATE TABLE runs (id INTEGER PRIMARY KEY, run TEXT UNIQUE, arm TEXT, size TEXT, params INTEGER, lr REAL, seed INTEGER,
  steps INTEGER, state TEXT, loss REAL, train_loss REAL, l0 REAL, effective_lr REAL, step_ms REAL, config_hash TEXT, config TEXT,
  nonfinite TEXT);
CREATE TABLE metrics (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE samples (run INTEGER REFERENCES runs, metric INTEGER REFERENCES metrics, step INTEGER, head INTEGER, value REAL,
  nonfinite TEXT);
CREATE TABLE run_events (run INTEGER REFERENCES runs, step INTEGER, kind TEXT);
CREATE VIEW records AS SELECT runs.run, samples.step, metrics.name AS metric, samples.head, samples.value, samples.nonfinite
  FROM samples JOIN runs ON runs.id = samples.run JOIN metrics ON metrics.id = samples.metric;
CREATE VIEW events AS SELECT runs.run, run_events.step, run_events.kind FROM run_events JOIN runs ON runs.id = run_events.run;
BEGIN;
)";

class SqliteSink : public TableSink {
 public:
  explicit SqliteSink(const fs::path& file) : file_(absent(file)), part_(in_the_making(file_)) {
    if (file_.has_parent_path()) make_folder(file_.parent_path());
    check(sqlite3_open(part_.c_str(), &database_));
    // The file appears under its name only when it is whole, so a journal would guard nothing.
    execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;");
    execute(kSchema);
    add_run_ = prepare("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    add_metric_ = prepare("INSERT INTO metrics VALUES (?, ?)");
    add_sample_ = prepare("INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?)");
    add_event_ = prepare("INSERT INTO run_events VALUES (?, ?, ?)");
  }
  SqliteSink(const SqliteSink&) = delete;
  SqliteSink& operator=(const SqliteSink&) = delete;
  ~SqliteSink() override {
    close();
    std::error_code ignored;
    if (!finished_) fs::remove(part_, ignored);
  }

  void run(const RunRow& row) override {
    ++run_;
    std::string nonfinite;
    const auto real = [&](int at, const char* name, const std::optional<double>& value) {
      if (!value) return;  // NULL
      bind(add_run_, at, *value);
      if (std::isnan(*value)) nonfinite += (nonfinite.empty() ? "" : " ") + std::string(name) + "=nan";
    };
    bind(add_run_, 1, run_);
    bind(add_run_, 2, row.run);
    bind(add_run_, 3, row.arm);
    bind(add_run_, 4, row.size);
    if (row.params) bind(add_run_, 5, *row.params);
    real(6, "lr", row.lr);
    if (row.seed) bind(add_run_, 7, *row.seed);
    if (row.steps) bind(add_run_, 8, *row.steps);
    bind(add_run_, 9, row.state);
    real(10, "loss", row.loss);
    real(11, "train_loss", row.train_loss);
    real(12, "l0", row.l0);
    real(13, "effective_lr", row.effective_lr);
    real(14, "step_ms", row.step_ms);
    bind(add_run_, 15, row.config_hash);
    const std::string config = row.config.empty() ? "" : json_text(row.config);
    if (!config.empty()) bind(add_run_, 16, config);
    bind(add_run_, 17, nonfinite);
    step(add_run_);
  }
  void value(std::int64_t at, std::string_view metric, int head, double value) override {
    auto found = metrics_.find(metric);
    if (found == metrics_.end()) {
      found = metrics_.emplace(metric, static_cast<std::int64_t>(metrics_.size()) + 1).first;
      bind(add_metric_, 1, found->second);
      bind(add_metric_, 2, found->first);
      step(add_metric_);
    }
    bind(add_sample_, 1, run_);
    bind(add_sample_, 2, found->second);
    bind(add_sample_, 3, at);
    if (head >= 0) bind(add_sample_, 4, std::int64_t{head});
    bind(add_sample_, 5, value);
    static const std::string kNan = "nan", kFinite;
    bind(add_sample_, 6, std::isnan(value) ? kNan : kFinite);
    step(add_sample_);
  }
  void event(std::int64_t at, const std::string& kind) override {
    bind(add_event_, 1, run_);
    bind(add_event_, 2, at);
    bind(add_event_, 3, kind);
    step(add_event_);
  }
  void finish() override {
    execute("COMMIT; CREATE INDEX samples_of ON samples (run, metric, step);");
    close();
    fs::rename(part_, file_);
    sync_folder(file_.has_parent_path() ? file_.parent_path() : fs::path("."));
    finished_ = true;
  }

 private:
  void check(int code) {
    if (code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW) return;
    throw EnvironmentError(fmt::format("cannot write {}: {}; free some space or choose another --out",
                                       file_.string(), sqlite3_errmsg(database_)));
  }
  void execute(const char* words) { check(sqlite3_exec(database_, words, nullptr, nullptr, nullptr)); }
  sqlite3_stmt* prepare(const char* words) {
    sqlite3_stmt* statement = nullptr;
    check(sqlite3_prepare_v2(database_, words, -1, &statement, nullptr));
    return statement;
  }
  void bind(sqlite3_stmt* to, int at, std::int64_t value) { check(sqlite3_bind_int64(to, at, value)); }
  void bind(sqlite3_stmt* to, int at, double value) { check(sqlite3_bind_double(to, at, value)); }
  /// `value` must outlive the step.
  void bind(sqlite3_stmt* to, int at, const std::string& value) {
    check(sqlite3_bind_text(to, at, value.data(), static_cast<int>(value.size()), nullptr));
  }
  void step(sqlite3_stmt* statement) {
    check(sqlite3_step(statement));
    check(sqlite3_reset(statement));
    check(sqlite3_clear_bindings(statement));
  }
  void close() {
    for (sqlite3_stmt** statement : {&add_run_, &add_metric_, &add_sample_, &add_event_}) {
      sqlite3_finalize(*statement);
      *statement = nullptr;
    }
    sqlite3_close(database_);
    database_ = nullptr;
  }

  fs::path file_, part_;
  sqlite3* database_ = nullptr;
  sqlite3_stmt *add_run_ = nullptr, *add_metric_ = nullptr, *add_sample_ = nullptr, *add_event_ = nullptr;
  std::map<std::string, std::int64_t, std::less<>> metrics_;
  std::int64_t run_ = 0;
  bool finished_ = false;
};

}  // namespace

std::unique_ptr<TableSink> sqlite_sink(const fs::path& file) {
  return std::make_unique<SqliteSink>(file);
}

}  // namespace evenkeel::tables
