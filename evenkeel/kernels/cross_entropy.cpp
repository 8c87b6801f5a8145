#include "evenkeel/kernels/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "evenkeel/kernels/parallel.h"
#include "evenkeel/kernels/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evenkeel/kernels/cross_entropy.cpp"
#include "hwy/foreach_target.h"
// Keep this order.
#include "hwy/highway.h"

#include "evenkeel/kernels/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr float kLowest = -3.4e38f;

/// What is known of a row before its exponentials; the sums only where they are asked for.
struct RowSummary {
  float largest, all, occurring;
};

template <class T>
HWY_INLINE RowSummary summarise(const T* y, std::int64_t vocab, bool smooths, const std::int32_t* occurring) {
  VF largest[2] = {set(kLowest), set(kLowest)};
  vector_loop(vocab, [&](std::int64_t i, std::int64_t n, int k)
                         EVENKEEL_INLINE { largest[k] = hn::Max(largest[k], load_n(y + i, n, kLowest)); });
  RowSummary row{hn::GetLane(hn::MaxOfLanes(f32, hn::Max(largest[0], largest[1]))), 0, 0};
  if (smooths) {
    VF all[2] = {set(0), set(0)};
    vector_loop(vocab, [&](std::int64_t i, std::int64_t n, int k)
                           EVENKEEL_INLINE { all[k] = hn::Add(all[k], load_n(y + i, n)); });
    row.all = sum(hn::Add(all[0], all[1]));
  }
  if (occurring != nullptr) {
    VF some[2] = {set(0), set(0)};
    vector_loop(vocab, [&](std::int64_t i, std::int64_t n, int k) EVENKEEL_INLINE {
      // The mask is padded to a whole vector.
      const auto mask = hn::BitCast(f32, hn::LoadU(I32(), occurring + i));
      some[k] = hn::Add(some[k], hn::And(mask, load_n(y + i, n)));
    });
    row.occurring = sum(hn::Add(some[0], some[1]));
  }
  return row;
}

template <class T>
CrossEntropySums rows_of_chunk(const CrossEntropy<T>& a, std::int64_t begin, std::int64_t end, double share,
                               const std::int32_t* occurring, float* e) {
  const std::int64_t vocab = a.vocab;
  const bool smooths = a.label_smoothing != 0;
  const double off_target = a.label_smoothing / static_cast<double>(vocab);
  CrossEntropySums sums;
  for (std::int64_t row = begin; row < end; ++row) {
    T* y = a.logits + row * vocab;
    const std::int64_t target = a.targets[row];
    if (target < 0) {
      if (a.overwrite) std::fill(y, y + vocab, T{});
      continue;
    }
    const RowSummary known = summarise(y, vocab, smooths, occurring);
    VF total[2] = {set(0), set(0)};
    vector_loop(vocab, [&](std::int64_t i, std::int64_t n, int k) EVENKEEL_INLINE {
      const VF p = keep_first(exp(hn::Sub(load_n(y + i, n), set(known.largest))), n);
      if (a.overwrite) store_n(p, e + i, n);
      total[k] = hn::Add(total[k], p);
    });
    const double z = static_cast<double>(sum(hn::Add(total[0], total[1])));
    const double log_z = static_cast<double>(known.largest) + std::log(z);
    double ce = std::fma(a.label_smoothing - 1, static_cast<double>(to_float(y[target])), log_z);
    if (smooths) ce = std::fma(-off_target, static_cast<double>(known.all), ce);
    ++sums.rows;
    sums.ce += ce;
    sums.log_z += log_z;
    sums.log_z_squares = std::fma(log_z, log_z, sums.log_z_squares);
    sums.occurring_logits += static_cast<double>(known.occurring);
    if (!a.overwrite) continue;

    // Without z-loss the weight is not formed at all, so off is off to the bit.
    const double weight = a.z_coefficient == 0 ? share : share * std::fma(2 * a.z_coefficient, log_z, 1);
    const float scale = static_cast<float>(weight / z), shift = static_cast<float>(share * off_target);
    const float at_target =
        std::fma(e[target], scale, -static_cast<float>(share * (1 - a.label_smoothing))) - shift;
    vector_loop(vocab, [&](std::int64_t i, std::int64_t n, int) EVENKEEL_INLINE {
      store_n(hn::MulSub(load_n(e + i, n), set(scale), set(shift)), y + i, n);
    });
    y[target] = from_float<T>(at_target);
  }
  return sums;
}

template <class T>
CrossEntropySums run(const CrossEntropy<T>& a) {
  const RowChunks chunks(a.rows);
  const std::int64_t counted =
      std::count_if(a.targets, a.targets + a.rows, [](std::int64_t t) { return t >= 0; });
  const double share = counted > 0 ? 1 / static_cast<double>(counted) : 0;
  const std::int64_t padded = a.vocab + lanes();
  std::vector<std::int32_t> mask;
  if (a.occurring != nullptr) {
    mask.resize(static_cast<std::size_t>(padded));
    for (std::int64_t j = 0; j < a.vocab; ++j)
      mask[static_cast<std::size_t>(j)] = a.occurring[j] != 0 ? -1 : 0;
  }
  const std::int32_t* occurring = mask.empty() ? nullptr : mask.data();
  std::vector<float> scratch(static_cast<std::size_t>(a.overwrite ? chunks.count * padded : 0));
  std::vector<CrossEntropySums> parts(static_cast<std::size_t>(chunks.count));
  parallel_for(chunks.count, [&](std::int64_t c) {
    parts[static_cast<std::size_t>(c)] = rows_of_chunk(a, chunks.begin(c), chunks.end(c), share, occurring,
                                                       a.overwrite ? scratch.data() + c * padded : nullptr);
  });
  CrossEntropySums sums;
  for (const CrossEntropySums& part : parts) {
    sums.rows += part.rows;
    sums.ce += part.ce;
    sums.log_z += part.log_z;
    sums.log_z_squares += part.log_z_squares;
    sums.occurring_logits += part.occurring_logits;
  }
  return sums;
}

CrossEntropySums run_float(const CrossEntropy<float>& a) {
  return run(a);
}
CrossEntropySums run_bf16(const CrossEntropy<bf16>& a) {
  return run(a);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenkeel::kernels {
namespace {

HWY_EXPORT(run_float);
HWY_EXPORT(run_bf16);

}  // namespace

CrossEntropySums cross_entropy(const CrossEntropy<float>& a) {
  return HWY_DYNAMIC_DISPATCH(run_float)(a);
}
CrossEntropySums cross_entropy(const CrossEntropy<bf16>& a) {
  return HWY_DYNAMIC_DISPATCH(run_bf16)(a);
}

}  // namespace evenkeel::kernels
#endif
