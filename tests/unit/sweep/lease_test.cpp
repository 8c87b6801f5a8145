#include "evenkeel/sweep/lease.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "evenkeel/base/files.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::sweep {
namespace {

constexpr const char* kCell = "00112233445566aa";
constexpr double kLong = 1000;

/// As if nobody had touched the lease for two hours.
void age(const fs::path& sweep, int number) {
  const fs::path file = sweep / "leases" / (std::string(kCell) + "." + std::to_string(number));
  fs::last_write_time(file, fs::last_write_time(file) - std::chrono::hours(2));
}

TEST(Leases, ACellHasOneOwner) {
  const test::TempFolder folder;
  Leases a(folder.path(), "a", kLong), b(folder.path(), "b", kLong);
  EXPECT_TRUE(a.take(kCell));
  EXPECT_TRUE(a.take(kCell)) << "it is ours";
  EXPECT_FALSE(b.take(kCell));
  EXPECT_TRUE(b.take("ffffffffffffffff"));
  a.release(kCell);
  EXPECT_TRUE(b.take(kCell));
  EXPECT_FALSE(a.take(kCell));
}

TEST(Leases, ADeadOneGoesToTheFirstWhoComes) {
  const test::TempFolder folder;
  Leases a(folder.path(), "a", kLong), b(folder.path(), "b", kLong), c(folder.path(), "c", kLong);
  ASSERT_TRUE(a.take(kCell));
  age(folder.path(), 1);
  EXPECT_TRUE(b.take(kCell));
  EXPECT_FALSE(c.take(kCell)) << "b is alive";
  age(folder.path(), 2);
  EXPECT_TRUE(c.take(kCell));
}

TEST(Leases, WhoWasTakenForDeadIsToldAndTakesNothingWithIt) {
  const test::TempFolder folder;
  Leases a(folder.path(), "a", 0.2), b(folder.path(), "b", 0.2);
  ASSERT_TRUE(a.take(kCell));
  EXPECT_TRUE(a.beat().empty());
  age(folder.path(), 1);
  ASSERT_TRUE(b.take(kCell));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // a tenth of the expiry and more
  EXPECT_EQ(a.beat(), std::vector<std::string>{kCell});
  EXPECT_TRUE(a.beat().empty()) << "once";
  a.release(kCell);
  EXPECT_TRUE(fs::exists(folder.path() / "leases" / (std::string(kCell) + ".2"))) << "b's";
}

// The number begins again when a cell was released by all.
TEST(Leases, ANewOneOfTheSameNumberIsNotTakenForOurs) {
  const test::TempFolder folder;
  Leases a(folder.path(), "a", 0.2), b(folder.path(), "b", 0.2), c(folder.path(), "c", 0.2);
  ASSERT_TRUE(a.take(kCell));
  age(folder.path(), 1);
  ASSERT_TRUE(b.take(kCell));
  b.release(kCell);
  ASSERT_TRUE(c.take(kCell));  // number 1 again
  a.release(kCell);
  EXPECT_TRUE(fs::exists(folder.path() / "leases" / (std::string(kCell) + ".1"))) << "c's";
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(c.beat().empty());
}

TEST(Leases, TouchingKeepsThem) {
  const test::TempFolder folder;
  Leases a(folder.path(), "a", 1), b(folder.path(), "b", 1);
  ASSERT_TRUE(a.take(kCell));
  age(folder.path(), 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  EXPECT_TRUE(a.beat().empty());
  EXPECT_FALSE(b.take(kCell)) << "it was touched just now";
}

TEST(Leases, OfManyThreadsOneGetsIt) {
  for (int round = 0; round < 20; ++round) {
    const test::TempFolder folder;
    if (round % 2 == 1) {  // a dead one is there
      make_folder(folder.path() / "leases");
      write_file(folder.path() / "leases" / (std::string(kCell) + ".1"), "gone\n");
      age(folder.path(), 1);
    }
    std::vector<std::unique_ptr<Leases>> all;
    for (int i = 0; i < 8; ++i)
      all.push_back(std::make_unique<Leases>(folder.path(), std::to_string(i), kLong));
    std::vector<int> got(all.size(), 0);
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < all.size(); ++i)
        threads.emplace_back([&, i] { got[i] = all[i]->take(kCell) ? 1 : 0; });
    }
    EXPECT_EQ(std::count(got.begin(), got.end(), 1), 1) << "round " << round;
  }
}

TEST(Leases, LeaveNothingBehind) {
  const test::TempFolder folder;
  {
    Leases a(folder.path(), "a", kLong), b(folder.path(), "b", kLong);
    a.take(kCell);
  }
  EXPECT_FALSE(fs::exists(folder.path() / "leases"));
}

TEST(Leases, WhatOneGaveUpTheOthersLeaveUntilTheyAreStartedAnew) {
  const test::TempFolder folder;
  Leases a(folder.path(), "a", kLong), b(folder.path(), "b", kLong);
  EXPECT_FALSE(b.given_up(kCell));
  a.give_up(kCell, "it crashed twice");
  EXPECT_EQ(b.given_up(kCell), "it crashed twice");
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  Leases later(folder.path(), "later", kLong);
  EXPECT_FALSE(later.given_up(kCell));
}

}  // namespace
}  // namespace evenkeel::sweep
