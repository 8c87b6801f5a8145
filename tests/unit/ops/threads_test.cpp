#include "evenkeel/ops/threads.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>

#include "evenkeel/kernels/parallel.h"

namespace evenkeel::ops {
namespace {

TEST(Threads, LibTorchHasOneInsideALoopOfTheKernels) {
  for (const int threads : {1, 3}) {
    set_threads(threads);
    std::atomic<int> several{0};
    kernels::parallel_for(200, [&](std::int64_t) {
      if (at::get_num_threads() != 1) ++several;
    });
    EXPECT_EQ(several, 0);
    EXPECT_EQ(at::get_num_threads(), threads);
    EXPECT_EQ(kernels::threads(), threads);
  }
  set_threads(1);
}

}  // namespace
}  // namespace evenkeel::ops
