// Loops over threads. A kernel's result never depends on their number: every output is owned by one
// iteration, and what is summed over iterations is summed afterwards, in order.
//
// The threads are a small pool of our own, because a loop must not stand still when another program takes a
// core. Iterations are handed out one by one, the calling thread takes its share, and a loop ends when all
// its iterations have: a thread that has not woken is not waited for, and one that has lost its core holds up
// a single iteration. Whoever waits spins for kSpin and then sleeps, which gives its core to those who
// compute.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

namespace evenkeel::kernels {

/// How long a thread that waits for others spins before it sleeps: longer than the gaps between the loops of
/// a training step, shorter than what a core is worth to someone else.
inline constexpr std::chrono::microseconds kSpin(50);

/// Threads that loops use from now on, the caller's included; 1 until the first call. Threads are started by
/// the first loop that has use for them, so a process that has set 1 may fork. Each calls `prepare` first.
void set_threads(int threads, void (*prepare)() = nullptr);
int threads();

/// Calls call(body, i) for i in [0, n), each i on one thread; parallel_for for a function without its type.
/// n < 2^31.
void parallel_call(std::int64_t n, void (*call)(const void* body, std::int64_t i), const void* body);

/// Calls body(i) for i in [0, n), each i on one thread, and returns when all have ended. A loop inside a
/// loop, or beside one of another thread, runs on its caller alone, and so does what LibTorch computes inside
/// `body`. An exception that a body throws reaches the caller, of several the first; the other iterations may
/// have run or not.
template <class Body>
void parallel_for(std::int64_t n, const Body& body) {
  parallel_call(
      n, [](const void* erased, std::int64_t i) { (*static_cast<const Body*>(erased))(i); },
      std::addressof(body));
}

}  // namespace evenkeel::kernels
