// Leases on cells, for several processes that run one sweep in one folder, on one machine or on many:
// leases/HASH.N is made atomically by who trains cell HASH and touched again and again. One that has not been
// touched for a while is dead, and whoever makes HASH.(N+1) first has the cell: that file can be made once,
// so a cell has one owner. An owner that finds a later number has lost the cell and lets go of it.
//
// Times are those that the file system gives to files, so clocks of machines need not agree. That no two
// trainers ever write one run is guarded by the run's own lock too (runs/run_writer.h), where the file system
// has locks between machines.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace evenkeel::sweep {

namespace fs = std::filesystem;

class Leases {
 public:
  /// `owner` is for people and the names of files; a lease that nobody touched for `expiry_s` seconds is
  /// dead.
  Leases(const fs::path& sweep, std::string owner, double expiry_s);
  ~Leases();
  Leases(const Leases&) = delete;
  Leases& operator=(const Leases&) = delete;

  const std::string& owner() const { return owner_; }

  /// True when the cell is ours from now on. False: somebody who is alive has it, or was faster.
  bool take(const std::string& hash);
  /// Gives a cell up; its result, if it has one, must be in place by then.
  void release(const std::string& hash);

  /// Touches ours, when it is time; the cells that we lost to others since the last call.
  std::vector<std::string> beat();

  /// Tells the others that a cell is not worth a further try, until they are started anew.
  void give_up(const std::string& hash, const std::string& why);
  /// What somebody who runs now said when giving it up.
  std::optional<std::string> given_up(const std::string& hash) const;

 private:
  fs::path file(const std::string& hash, std::int64_t number) const;
  /// The highest number of a cell that has a lease; 0: none.
  std::int64_t newest(const std::string& hash) const;
  /// Whether the file is the one that we made: others may have made one of its name since.
  bool made_by_us(const std::string& hash, std::int64_t number) const;
  /// Now, by the file system; touches our clock.
  fs::file_time_type now() const;

  fs::path folder_;
  std::string owner_;
  double expiry_s_;
  std::map<std::string, std::int64_t> ours_;
  fs::file_time_type started_, beaten_;
};

/// Removes what dead shards left. For a process that knows that none is alive.
void remove_leases(const fs::path& sweep);

}  // namespace evenkeel::sweep
