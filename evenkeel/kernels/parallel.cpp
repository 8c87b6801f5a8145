#include "evenkeel/kernels/parallel.h"

#include <linux/futex.h>
#include <omp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace evenkeel::kernels {
namespace {

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// A number that threads wait for. Not std::atomic::wait, which yields before it sleeps: to a busy neighbour
/// that gives a whole slice of time.
class Signal {
 public:
  std::uint32_t get() const { return value_; }
  void set(std::uint32_t value) { value_ = value; }
  std::uint32_t add(std::uint32_t by) { return value_.fetch_add(by); }
  /// Sleeps while the number is `value`, or not at all; may wake without reason.
  void sleep(std::uint32_t value) {
    ++sleepers_;
    ::syscall(SYS_futex, &value_, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
    --sleepers_;
  }
  void wake_all() {
    if (sleepers_ != 0) ::syscall(SYS_futex, &value_, FUTEX_WAKE_PRIVATE, INT32_MAX, nullptr, nullptr, 0);
  }

 private:
  std::atomic<std::uint32_t> value_{0};
  static_assert(sizeof value_ == sizeof(std::uint32_t));
  std::atomic<int> sleepers_{0};
};

/// Spins for at most kSpin; whether `done` became true.
template <class Done>
bool spin_until(const Done& done) {
  constexpr int kBetweenLooks = 16;  // at the clock
  const auto begin = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < kBetweenLooks; ++i) {
      if (done()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() - begin < kSpin);
  return done();
}

/// Whether this thread is inside an iteration.
thread_local bool is_inside = false;

/// LibTorch's own loops are OpenMP's. Inside ours they would start a team for each of our threads.
class Inside {
 public:
  Inside() {
    omp_set_num_threads(1);
    is_inside = true;
  }
  ~Inside() {
    omp_set_num_threads(before_);
    is_inside = false;
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  int before_ = omp_get_max_threads();
};

using Call = void (*)(const void*, std::int64_t);

/// The threads and the loop they work on, one at a time.
///
/// An iteration is claimed by raising `next_`, which holds the loop's number in its upper and the iteration
/// in its lower half, from a value that was read before the loop's description. Between two loops it is
/// kClosed, and only then the description changes: so a claim that succeeds, however late its thread comes,
/// belongs to the description that was read. All operations are sequentially consistent, as that argument
/// needs.
class Pool {
 public:
  std::atomic<int> threads{1};
  std::atomic<void (*)()> prepare{nullptr};

  void run(std::int64_t n, Call call, const void* body) {
    start_missing();
    n_ = n;
    call_ = call;
    body_ = body;
    unfinished_.set(static_cast<std::uint32_t>(n));
    next_ = ++loops_ << 32;
    published_.add(1);
    published_.wake_all();
    {
      const Inside inside;
      take();
    }
    if (!spin_until([&] { return unfinished_.get() == 0; })) {
      while (const std::uint32_t left = unfinished_.get()) unfinished_.sleep(left);
    }
    next_ = loops_ << 32 | kClosed;
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  bool try_lock() { return running_.try_lock(); }
  void unlock() { running_.unlock(); }

 private:
  static constexpr std::uint64_t kClosed = 0xffffffff;

  /// Signals are left to the program's own threads, but for those that a fault raises where it happens.
  void start_missing() {
    if (started_ >= threads - 1) return;
    sigset_t most, before;
    sigfillset(&most);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&most, fault);
    pthread_sigmask(SIG_SETMASK, &most, &before);  // threads inherit it
    try {
      for (; started_ < threads - 1; ++started_)
        std::thread(&Pool::work, this, started_, published_.get()).detach();
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void work(int index, std::uint32_t seen) {
    if (void (*const call)() = prepare) call();
    const Inside inside;
    for (;;) {
      if (!spin_until([&] { return published_.get() != seen; }))
        while (published_.get() == seen) published_.sleep(seen);
      seen = published_.get();
      if (index < threads - 1) take();
    }
  }

  /// Iterations until there are no more.
  void take() {
    std::uint64_t claim = next_;
    for (;;) {
      const std::int64_t n = n_;
      const Call call = call_;
      const void* body = body_;
      const auto i = static_cast<std::int64_t>(claim & kClosed);
      if (i >= n) return;
      if (!next_.compare_exchange_strong(claim, claim + 1)) continue;
      try {
        call(body, i);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(error_mutex_);
        if (!error_) error_ = std::current_exception();
      }
      if (unfinished_.add(-1u) == 1) unfinished_.wake_all();
      claim = next_;
    }
  }

  std::mutex running_, error_mutex_;
  std::exception_ptr error_;
  int started_ = 0;
  std::uint64_t loops_ = 0;
  std::atomic<std::int64_t> n_{0};
  std::atomic<Call> call_{nullptr};
  std::atomic<const void*> body_{nullptr};
  alignas(64) std::atomic<std::uint64_t> next_{kClosed};
  alignas(64) Signal unfinished_;
  alignas(64) Signal published_;  ///< raised for each loop
};

/// Never destroyed, because its threads may still sleep in it when the process ends.
Pool& pool() {
  static Pool* const only = new Pool;
  return *only;
}

}  // namespace

void set_threads(int threads, void (*prepare)()) {
  pool().prepare = prepare;
  pool().threads = std::max(threads, 1);
}

int threads() {
  return pool().threads;
}

void parallel_call(std::int64_t n, Call call, const void* body) {
  if (n > 1 && !is_inside && threads() > 1) {
    const std::unique_lock<Pool> lock(pool(), std::try_to_lock);
    if (lock) return pool().run(n, call, body);
  }
  for (std::int64_t i = 0; i < n; ++i) call(body, i);
}

}  // namespace evenkeel::kernels
