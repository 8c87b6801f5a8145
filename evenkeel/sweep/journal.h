// journal/: what happened to cells since sweep.json was written, a line for each event, so that a start or an
// end of a cell costs two hundred bytes and not the whole list. sweep.json takes it in when a sweep begins
// and when it ends. Every process that runs a sweep has a file of its own.
#pragma once

#include <string>

#include "evenkeel/base/files.h"
#include "evenkeel/sweep/sweep_file.h"

namespace evenkeel::sweep {

class Journal {
 public:
  /// `writer` tells the processes of one sweep apart, and is a file's name.
  Journal(const fs::path& sweep, const std::string& writer);
  /// State, attempts, label and message of a cell as they are now.
  void add(const CellEntry& entry);
  /// All that stood in it is in sweep.json.
  void clear();

 private:
  fs::path file_;
  std::unique_ptr<AppendFile> out_;
};

/// Brings entries up to what the journals below `sweep` say. Lines that do not check are passed over: what
/// they told, such as the number of attempts, decides nothing.
void replay_journals(const fs::path& sweep, SweepFile& file);
/// Removes the journals of all, once sweep.json holds what they say. For the only process that runs this
/// sweep.
void remove_journals(const fs::path& sweep);

}  // namespace evenkeel::sweep
