// Loops over threads. A kernel's result never depends on their number: every output is owned by one
// iteration, and what is summed over iterations is summed afterwards, in order.
#pragma once

#include <omp.h>

#include <cstdint>

namespace evenkeel::kernels {

/// Calls body(i) for i in [0, n), each i on one thread. The number of threads is OpenMP's (ops::set_threads);
/// with one no thread is started, so a process that forks stays safe. `body` must not throw.
template <class Body>
void parallel_for(std::int64_t n, const Body& body) {
  if (n <= 1 || omp_get_max_threads() == 1 || omp_in_parallel()) {
    for (std::int64_t i = 0; i < n; ++i) body(i);
    return;
  }
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t i = 0; i < n; ++i) body(i);
}

}  // namespace evenkeel::kernels
