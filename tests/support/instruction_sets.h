// Runs a check once per instruction set that this processor has, by switching the better ones off.
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <array>
#include <cstdint>
#include <functional>

namespace evenkeel::test {

/// Calls `check` with everything on, without AVX-512, and without AVX2; everything is on again afterwards.
inline void with_each_instruction_set(const std::function<void()>& check) {
  const std::int64_t all = hwy::SupportedTargets();
  const std::int64_t no_avx512 = all & ~(HWY_AVX3 | HWY_AVX3_DL);
  for (const std::int64_t targets : std::array<std::int64_t, 3>{all, no_avx512, no_avx512 & ~HWY_AVX2}) {
    SCOPED_TRACE(hwy::TargetName(targets & -targets));
    hwy::SetSupportedTargetsForTest(targets);
    check();
    hwy::SetSupportedTargetsForTest(0);
  }
}

}  // namespace evenkeel::test
