#include "cli/evenkeel/core_speed.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "evenkeel/kernels/matmul.h"

namespace evenkeel::cli {
namespace {

template <class T>
double measure() {
  constexpr std::size_t kRows = 256, kWidth = 256, kHidden = 1024;
  const std::vector<float> weight(kHidden * kWidth, 0.5F);
  const std::vector<T> x(kRows * kWidth, kernels::from_float<T>(0.5F));
  std::vector<T> y(kRows * kHidden);
  kernels::WeightRows weight_rows;
  for (std::size_t i = 0; i < kHidden; ++i) weight_rows.push_back(weight.data() + i * kWidth);

  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;
  const Clock::time_point end = Clock::now() + std::chrono::milliseconds(30);
  double shortest = 1e9;
  do {
    const Clock::time_point start = Clock::now();
    kernels::linear_forward<T>(x.data(), kRows, kWidth, weight_rows, nullptr, y.data());
    shortest = std::min(shortest, Seconds(Clock::now() - start).count());
  } while (Clock::now() < end);
  return 2.0 * kRows * kWidth * kHidden / std::max(shortest, 1e-9);
}

}  // namespace

double product_flops_per_s(Precision precision) {
  return precision == Precision::kBf16 ? measure<kernels::bf16>() : measure<float>();
}

}  // namespace evenkeel::cli
