// Runs a check once per instruction set that this processor has, by switching the better ones off.
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "evenkeel/kernels/isa.h"

namespace evenkeel::test {

/// Calls `check` with everything on, then with one level less at a time; everything is on again afterwards.
inline void with_each_instruction_set(const std::function<void()>& check) {
  using kernels::Isa;
  const Isa best = kernels::isa();
  for (int level = static_cast<int>(best); level >= 0; --level) {
    SCOPED_TRACE(kernels::isa_name(static_cast<Isa>(level)));
    kernels::limit_isa(static_cast<Isa>(level));
    check();
  }
  kernels::limit_isa(best);
}

}  // namespace evenkeel::test
