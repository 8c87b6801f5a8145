#include "evenkeel/kernels/parallel.h"

#include <gtest/gtest.h>
#include <omp.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace evenkeel::kernels {
namespace {

/// Sets a number of threads for a test.
class Threads {
 public:
  explicit Threads(int threads) { set_threads(threads); }
  ~Threads() { set_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_ = threads();
};

TEST(Parallel, EveryIterationOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    const Threads set(threads);
    // Short loops one after another are where a thread may come too late.
    for (int repeat = 0; repeat < 2000; ++repeat) {
      const std::int64_t n = repeat % 7;
      std::vector<int> count(static_cast<std::size_t>(n));
      parallel_for(n, [&](std::int64_t i) { ++count[static_cast<std::size_t>(i)]; });
      for (const int one : count) ASSERT_EQ(one, 1);
    }
    std::vector<int> count(100000);
    parallel_for(std::ssize(count), [&](std::int64_t i) { ++count[static_cast<std::size_t>(i)]; });
    for (const int one : count) ASSERT_EQ(one, 1);
  }
}

TEST(Parallel, OneThreadStartsNone) {
  const Threads set(1);
  const auto caller = std::this_thread::get_id();
  parallel_for(10, [&](std::int64_t) { EXPECT_EQ(std::this_thread::get_id(), caller); });
}

TEST(Parallel, AThreadThatIsHeldUpCostsItsIterationOnly) {
  const Threads set(2);
  // Whoever has iteration 0 stays in it until all others are done, which the other thread must do alone.
  std::atomic<int> others{0};
  parallel_for(100, [&](std::int64_t i) {
    if (i == 0)
      while (others < 99) std::this_thread::yield();
    else ++others;
  });
  EXPECT_EQ(others, 99);
}

TEST(Parallel, SleepingThreadsWake) {
  const Threads set(3);
  std::atomic<int> count{0};
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::this_thread::sleep_for(10 * kSpin);
    // Two iterations that wait for each other need two threads.
    parallel_for(2, [&](std::int64_t) {
      ++count;
      while (count < 2 * (repeat + 1)) std::this_thread::yield();
    });
  }
  EXPECT_EQ(count, 40);
}

TEST(Parallel, ALoopInsideALoopAndLibrariesStayOnItsThread) {
  const Threads set(3);
  const int before = omp_get_max_threads();
  parallel_for(20, [&](std::int64_t) {
    const auto mine = std::this_thread::get_id();
    EXPECT_EQ(omp_get_max_threads(), 1);
    parallel_for(5, [&](std::int64_t) { EXPECT_EQ(std::this_thread::get_id(), mine); });
  });
  EXPECT_EQ(omp_get_max_threads(), before);
}

TEST(Parallel, LoopsOfSeveralThreadsAtOnce) {
  const Threads set(2);
  std::vector<std::int64_t> sums(4);
  std::vector<std::thread> callers;
  for (std::int64_t& sum : sums)
    callers.emplace_back([&sum] {
      for (int repeat = 0; repeat < 200; ++repeat) {
        std::vector<std::int64_t> out(50);
        parallel_for(50, [&](std::int64_t i) { out[static_cast<std::size_t>(i)] = i; });
        for (const std::int64_t one : out) sum += one;
      }
    });
  for (std::thread& caller : callers) caller.join();
  for (const std::int64_t sum : sums) EXPECT_EQ(sum, 200 * 50 * 49 / 2);
}

// A signal goes to any thread that lets it in, and one that the program waits for must not end it there.
TEST(Parallel, SignalsAreLeftToTheProgramsOwnThreads) {
  const Threads set(3);
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<int> others = 0, open = 0;
  for (int tries = 0; tries < 1000 && others == 0; ++tries)
    parallel_for(50, [&](std::int64_t) {
      if (std::this_thread::get_id() == caller) {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
        return;
      }
      sigset_t blocked;
      pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
      ++others;
      for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1})
        open += !sigismember(&blocked, signal);
    });
  EXPECT_GT(others, 0);
  EXPECT_EQ(open, 0);
  sigset_t mine;
  pthread_sigmask(SIG_SETMASK, nullptr, &mine);
  EXPECT_FALSE(sigismember(&mine, SIGTERM));
}

TEST(Parallel, AnExceptionReachesTheCaller) {
  for (const int threads : {1, 3}) {
    const Threads set(threads);
    const auto loop = [] {
      parallel_for(100, [](std::int64_t i) {
        if (i == 37) throw std::runtime_error("37");
      });
    };
    EXPECT_THROW(loop(), std::runtime_error);
    std::atomic<int> done{0};
    parallel_for(10, [&](std::int64_t) { ++done; });
    EXPECT_EQ(done, 10);
  }
}

}  // namespace
}  // namespace evenkeel::kernels
