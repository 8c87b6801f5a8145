#include "evenkeel/sweep/lease.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <system_error>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"

namespace evenkeel::sweep {
namespace {

constexpr const char* kGivenUp = ".given_up";

double seconds_between(fs::file_time_type from, fs::file_time_type to) {
  return std::chrono::duration<double>(to - from).count();
}

/// False when it is there already.
bool create(const fs::path& file, const std::string& content) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) {
    if (errno == EEXIST) return false;
    throw EnvironmentError(explain_errno("write", file, errno));
  }
  // For people only: the name is what counts.
  const ssize_t written = ::write(fd, content.data(), content.size());
  ::close(fd);
  if (written < 0) throw EnvironmentError(explain_errno("write", file, errno));
  return true;
}

bool touch(const fs::path& file) {
  return ::utimensat(AT_FDCWD, file.c_str(), nullptr, 0) == 0;
}

}  // namespace

Leases::Leases(const fs::path& sweep, std::string owner, double expiry_s)
    : folder_(sweep / "leases"), owner_(std::move(owner)), expiry_s_(expiry_s) {
  make_folder(folder_);
  started_ = beaten_ = now();
}

Leases::~Leases() {
  std::error_code ignored;
  while (!ours_.empty()) release(std::string(ours_.begin()->first));
  fs::remove(folder_ / ("." + owner_), ignored);
  fs::remove(folder_, ignored);  // when it was the last
}

fs::path Leases::file(const std::string& hash, std::int64_t number) const {
  return folder_ / fmt::format("{}.{}", hash, number);
}

fs::file_time_type Leases::now() const {
  const fs::path clock = folder_ / ("." + owner_);
  for (int attempt = 0; !touch(clock); ++attempt) {
    make_folder(folder_);  // another that ended may have taken the empty folder along
    if (!create(clock, "") && attempt > 3) throw EnvironmentError(explain_errno("write", clock, errno));
  }
  return fs::last_write_time(clock);
}

std::int64_t Leases::newest(const std::string& hash) const {
  std::int64_t found = 0;
  std::error_code absent;
  for (const auto& item : fs::directory_iterator(folder_, absent)) {
    const std::string name = item.path().filename().string();
    if (!name.starts_with(hash + ".")) continue;
    std::int64_t number = 0;
    const char* begin = name.data() + hash.size() + 1;
    if (std::from_chars(begin, name.data() + name.size(), number).ec == std::errc())
      found = std::max(found, number);
  }
  return found;
}

bool Leases::take(const std::string& hash) {
  if (ours_.contains(hash)) return true;
  const std::int64_t before = newest(hash);
  if (before > 0) {
    std::error_code gone;
    const auto touched = fs::last_write_time(file(hash, before), gone);
    if (gone) return false;  // released this instant: the next look tells
    if (seconds_between(touched, now()) <= expiry_s_) return false;
  }
  if (!create(file(hash, before + 1), owner_ + "\n")) return false;
  // Since we looked the cell may have been released and taken under a higher number.
  if (newest(hash) != before + 1) {
    std::error_code ignored;
    fs::remove(file(hash, before + 1), ignored);
    return false;
  }
  ours_[hash] = before + 1;
  return true;
}

void Leases::release(const std::string& hash) {
  const auto found = ours_.find(hash);
  if (found == ours_.end()) return;
  const std::int64_t last = found->second;
  ours_.erase(found);
  if (!made_by_us(hash, last)) return;
  std::error_code ignored;
  // Dead ones first: while ours is there nobody takes the cell.
  for (std::int64_t number = 1; number <= last; ++number) fs::remove(file(hash, number), ignored);
}

bool Leases::made_by_us(const std::string& hash, std::int64_t number) const {
  try {
    return read_file(file(hash, number)) == owner_ + "\n";
  } catch (const EnvironmentError&) {  // gone
    return false;
  }
}

std::vector<std::string> Leases::beat() {
  std::vector<std::string> lost;
  if (ours_.empty()) return lost;
  const fs::file_time_type time = now();
  if (seconds_between(beaten_, time) < expiry_s_ / 10) return lost;
  beaten_ = time;
  for (auto it = ours_.begin(); it != ours_.end();) {
    if (newest(it->first) == it->second && made_by_us(it->first, it->second) &&
        touch(file(it->first, it->second))) {
      ++it;
      continue;
    }
    lost.push_back(it->first);
    it = ours_.erase(it);
  }
  return lost;
}

void Leases::give_up(const std::string& hash, const std::string& why) {
  const fs::path marker = folder_ / (hash + kGivenUp);
  make_folder(folder_);
  write_file(marker, why);
}

std::optional<std::string> Leases::given_up(const std::string& hash) const {
  const fs::path marker = folder_ / (hash + kGivenUp);
  std::error_code absent;
  const auto when = fs::last_write_time(marker, absent);
  if (absent || when < started_) return std::nullopt;
  return read_file(marker);
}

void remove_leases(const fs::path& sweep) {
  std::error_code ignored;
  for (const auto& item : fs::directory_iterator(sweep / "leases", ignored)) fs::remove(item.path(), ignored);
  fs::remove(sweep / "leases", ignored);
}

}  // namespace evenkeel::sweep
