#include <fmt/format.h>

#include <cmath>

#include "evenkeel/base/files.h"
#include "evenkeel/tables/table_sink.h"

namespace evenkeel::tables {
namespace {

/// As RFC 4180 has it.
std::string csv_text(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

/// Shortest text that reads back as the same number; NaN, inf and -inf, which readers of tables take for
/// numbers.
std::string number(double value) {
  return std::isnan(value) ? "NaN" : fmt::format("{}", value);
}

template <class T>
std::string field(const std::optional<T>& value) {
  if (!value) return "";
  if constexpr (std::is_floating_point_v<T>) return number(*value);
  else return fmt::format("{}", *value);
}

class CsvSink : public TableSink {
 public:
  explicit CsvSink(const fs::path& folder) : folder_(absent(folder)), part_(in_the_making(folder_)) {
    make_folder(part_);
    runs_ =
        open("runs.csv",
             "run,arm,size,params,lr,seed,steps,state,loss,train_loss,l0,effective_lr,step_ms,config_hash");
    records_ = open("records.csv", "run,step,metric,head,value");
    events_ = open("events.csv", "run,step,kind");
  }
  ~CsvSink() override {
    std::error_code ignored;
    if (!finished_) fs::remove_all(part_, ignored);
  }

  void run(const RunRow& row) override {
    run_ = csv_text(row.run);
    runs_->write_line(fmt::format(
        "{},{},{},{},{},{},{},{},{},{},{},{},{},{}", run_, csv_text(row.arm), csv_text(row.size),
        field(row.params), field(row.lr), field(row.seed), field(row.steps), row.state, field(row.loss),
        field(row.train_loss), field(row.l0), field(row.effective_lr), field(row.step_ms), row.config_hash));
  }
  void value(std::int64_t step, std::string_view metric, int head, double value) override {
    records_->write_line(fmt::format("{},{},{},{},{}", run_, step, csv_text(metric),
                                     head < 0 ? "" : std::to_string(head), number(value)));
  }
  void event(std::int64_t step, const std::string& kind) override {
    events_->write_line(fmt::format("{},{},{}", run_, step, csv_text(kind)));
  }
  void finish() override {
    for (auto* file : {&runs_, &records_, &events_}) {
      (*file)->flush();
      file->reset();
    }
    fs::rename(part_, folder_);
    sync_folder(folder_.has_parent_path() ? folder_.parent_path() : fs::path("."));
    finished_ = true;
  }

 private:
  /// Lines of a file, written in large pieces.
  class Lines {
   public:
    explicit Lines(const fs::path& file) : out_(file, 0) {}
    void write_line(const std::string& line) {
      if (!pending_.empty()) pending_ += '\n';
      pending_ += line;
      if (pending_.size() > std::size_t{1} << 20) write();
    }
    void flush() {
      if (!pending_.empty()) write();
      out_.sync();
    }

   private:
    void write() {
      out_.write_line(pending_);
      pending_.clear();
    }
    AppendFile out_;
    std::string pending_;
  };
  std::unique_ptr<Lines> open(const char* name, const char* header) {
    auto lines = std::make_unique<Lines>(part_ / name);
    lines->write_line(header);
    return lines;
  }

  fs::path folder_, part_;
  std::unique_ptr<Lines> runs_, records_, events_;
  std::string run_;
  bool finished_ = false;
};

}  // namespace

std::unique_ptr<TableSink> csv_sink(const fs::path& folder) {
  return std::make_unique<CsvSink>(folder);
}

}  // namespace evenkeel::tables
