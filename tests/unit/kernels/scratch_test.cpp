#include "evenkeel/kernels/scratch.h"

#include <gtest/gtest.h>

#include "evenkeel/kernels/parallel.h"

namespace evenkeel::kernels {
namespace {

constexpr std::int64_t kMoreThanAnybodyHas = std::int64_t{1} << 48;

TEST(Scratch, MemoryThatCannotBeHadIsAnExceptionAndCostsNothing) {
  Scratch<float> scratch;
  float* const first = scratch.get(100);
  first[99] = 1;
  EXPECT_THROW(scratch.get(kMoreThanAnybodyHas), std::bad_alloc);
  EXPECT_EQ(scratch.get(100), first);
}

TEST(Scratch, OutOfMemoryInsideALoopReachesItsCaller) {
  const int before = threads();
  for (const int count : {1, 3}) {
    set_threads(count);
    const auto loop = [] {
      parallel_for(8, [](std::int64_t i) {
        static thread_local Scratch<float> scratch;
        scratch.get(i == 5 ? kMoreThanAnybodyHas : 100)[0] = 1;
      });
    };
    EXPECT_THROW(loop(), std::bad_alloc) << count;
  }
  set_threads(before);
}

}  // namespace
}  // namespace evenkeel::kernels
