#include "evenkeel/sweep/journal.h"

#include <algorithm>
#include <map>
#include <system_error>

#include "evenkeel/runs/records.h"

namespace evenkeel::sweep {
namespace {

std::vector<fs::path> journals(const fs::path& sweep) {
  std::vector<fs::path> files;
  std::error_code absent;
  for (const auto& item : fs::directory_iterator(sweep / "journal", absent))
    if (item.path().extension() == ".jsonl") files.push_back(item.path());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

Journal::Journal(const fs::path& sweep, const std::string& writer)
    : file_(sweep / "journal" / (writer + ".jsonl")) {}

void Journal::add(const CellEntry& entry) {
  if (!out_) {
    make_folder(file_.parent_path());
    out_ = std::make_unique<AppendFile>(file_, 0);
  }
  Json record{
      {"hash", entry.hash}, {"state", std::string(state_name(entry.state))}, {"attempts", entry.attempts}};
  if (!entry.label.empty()) record["label"] = entry.label;
  // A trainer may have said what is not UTF-8.
  if (!entry.message.empty()) record["message"] = Json::parse(json_text(entry.message));
  out_->write_line(runs::encode_record(record));
}

void Journal::clear() {
  out_.reset();
  std::error_code ignored;
  fs::remove(file_, ignored);
  fs::remove(file_.parent_path(), ignored);  // when it was the last
}

void replay_journals(const fs::path& sweep, SweepFile& file) {
  std::map<std::string, CellEntry*> entries;
  for (CellEntry& entry : file.cells) entries[entry.hash] = &entry;
  for (const fs::path& journal : journals(sweep)) {
    runs::for_each_record(journal, [&](Json&& record) {
      const auto found = entries.find(record.value("hash", ""));
      if (found == entries.end()) return;
      CellEntry& entry = *found->second;
      if (const auto state = state_from(record.value("state", ""))) entry.state = *state;
      entry.attempts = std::max(entry.attempts, record.value("attempts", entry.attempts));
      entry.label = record.value("label", entry.label);
      entry.message = record.value("message", entry.message);
    });
  }
}

void remove_journals(const fs::path& sweep) {
  std::error_code ignored;
  for (const fs::path& journal : journals(sweep)) fs::remove(journal, ignored);
  fs::remove(sweep / "journal", ignored);
}

}  // namespace evenkeel::sweep
