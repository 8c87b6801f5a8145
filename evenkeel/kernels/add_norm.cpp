#include "evenkeel/kernels/add_norm.h"

#include <cmath>
#include <vector>

#include "evenkeel/kernels/parallel.h"
#include "evenkeel/kernels/rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evenkeel/kernels/add_norm.cpp"
#include "hwy/foreach_target.h"
// Keep this order.
#include "hwy/highway.h"

#include "evenkeel/kernels/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace {

HWY_INLINE VF omega_at(const AddNormCommon& a, std::int64_t i, std::int64_t n) {
  return a.omega_per_channel ? load_n(a.omega + i, n) : set(a.omega[0]);
}

/// Rows whose fp32 sum left the range of fp32.
HWY_INLINE double sum_squares_in_double(const float* x, std::int64_t n) {
  double total = 0;
  for (std::int64_t i = 0; i < n; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return total;
}

// kExtras: omega, f_bias, dropout or norm_bias is there; without them the loops carry no test for them.
template <bool kExtras, class F, class Y>
double forward_rows(const AddNormForward<F, Y>& a, std::int64_t begin, std::int64_t end, float* multiplier) {
  const std::int64_t width = a.width;
  const float share = 1.0f / static_cast<float>(width);
  const bool drops = kExtras && a.dropout.on();
  double squares = 0;
  for (std::int64_t row = begin; row < end; ++row) {
    const float* x = a.x + row * width;
    VF total[2] = {set(0), set(0)}, square[2] = {set(0), set(0)};
    if (a.f != nullptr) {
      const F* f = a.f + row * width;
      float* out = a.sum + row * width;
      if (drops) dropout_multipliers(a.dropout, row * width, width, multiplier);
      vector_loop(width, [&](std::int64_t i, std::int64_t n, int k) EVENKEEL_INLINE {
        VF v = load_n(x + i, n), branch = load_n(f + i, n);
        if constexpr (kExtras) {
          if (a.f_bias != nullptr) branch = hn::Add(branch, load_n(a.f_bias + i, n));
          if (drops) branch = hn::Mul(branch, load_n(multiplier + i, n));
          v = a.omega != nullptr ? hn::MulAdd(omega_at(a, i, n), v, branch) : hn::Add(v, branch);
        } else {
          v = hn::Add(v, branch);
        }
        store_n(v, out + i, n);
        v = keep_first(v, n);
        total[k] = hn::Add(total[k], v);
        square[k] = hn::MulAdd(v, v, square[k]);
      });
      x = out;
    } else {
      vector_loop(width, [&](std::int64_t i, std::int64_t n, int k) EVENKEEL_INLINE {
        const VF v = load_n(x + i, n);
        total[k] = hn::Add(total[k], v);
        square[k] = hn::MulAdd(v, v, square[k]);
      });
    }
    const float row_square = sum(hn::Add(square[0], square[1]));
    const bool in_range = row_square > 1e-30f && row_square < 1e38f;
    squares += in_range ? static_cast<double>(row_square) : sum_squares_in_double(x, width);
    if (a.norm == NormKind::kNone) continue;

    float variance = row_square * share, mean = 0;
    if (a.norm == NormKind::kLayerNorm) {
      mean = sum(hn::Add(total[0], total[1])) * share;
      square[0] = square[1] = set(0);
      vector_loop(width, [&](std::int64_t i, std::int64_t n, int k) EVENKEEL_INLINE {
        const VF c = keep_first(hn::Sub(load_n(x + i, n), set(mean)), n);
        square[k] = hn::MulAdd(c, c, square[k]);
      });
      variance = sum(hn::Add(square[0], square[1])) * share;
      a.mean[row] = mean;
    }
    const float inverse = 1.0f / std::sqrt(variance + a.eps);
    a.inverse[row] = inverse;
    Y* y = a.y + row * width;
    vector_loop(width, [&](std::int64_t i, std::int64_t n, int) EVENKEEL_INLINE {
      VF v = hn::Mul(hn::Sub(load_n(x + i, n), set(mean)), set(inverse));
      if constexpr (kExtras) {
        const VF gain = a.gain != nullptr ? load_n(a.gain + i, n) : set(1);
        v = a.norm_bias != nullptr ? hn::MulAdd(v, gain, load_n(a.norm_bias + i, n)) : hn::Mul(v, gain);
      } else if (a.gain != nullptr) {
        v = hn::Mul(v, load_n(a.gain + i, n));
      }
      store_n(v, y + i, n);
    });
  }
  return squares;
}

template <class F, class Y>
double forward(const AddNormForward<F, Y>& a) {
  const RowChunks chunks(a.rows);
  const bool drops = a.dropout.on();
  const bool extras = a.omega != nullptr || a.f_bias != nullptr || drops || a.norm_bias != nullptr;
  std::vector<float> multipliers(static_cast<std::size_t>(drops ? chunks.count * a.width : 0));
  std::vector<double> squares(static_cast<std::size_t>(chunks.count));
  parallel_for(chunks.count, [&](std::int64_t c) {
    float* multiplier = drops ? multipliers.data() + c * a.width : nullptr;
    const std::int64_t begin = chunks.begin(c), end = chunks.end(c);
    squares[static_cast<std::size_t>(c)] = extras ? forward_rows<true>(a, begin, end, multiplier)
                                                  : forward_rows<false>(a, begin, end, multiplier);
  });
  double total = 0;
  for (const double part : squares) total += part;
  return total;
}

/// Sums over the rows of one chunk, [width] each; null where nothing is asked.
struct ColumnSums {
  float *gain, *norm_bias, *f_bias, *omega;
};

template <bool kExtras, class F, class Y>
void backward_rows(const AddNormBackward<F, Y>& a, std::int64_t begin, std::int64_t end,
                   const ColumnSums& sums, float* multiplier) {
  const std::int64_t width = a.width;
  const float share = 1.0f / static_cast<float>(width);
  const bool drops = kExtras && a.dropout.on() && (a.df != nullptr || a.d_f_bias != nullptr);
  const bool norms = a.dy != nullptr;
  const auto add_to = [](float* column, VF v, std::int64_t n)
                          EVENKEEL_INLINE { store_n(hn::Add(load_n(column, n), v), column, n); };
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t first = row * width;
    const float* z = norms ? a.sum + first : nullptr;
    const Y* dy = norms ? a.dy + first : nullptr;
    float mean = 0, inverse = 0, shift = 0, slope = 0;
    if (norms) {
      mean = a.norm == NormKind::kLayerNorm ? a.mean[row] : 0;
      inverse = a.inverse[row];
      VF total[2] = {set(0), set(0)}, product[2] = {set(0), set(0)};
      vector_loop(width, [&](std::int64_t i, std::int64_t n, int k) EVENKEEL_INLINE {
        VF g = load_n(dy + i, n);
        const VF xhat = hn::Mul(hn::Sub(load_n(z + i, n), set(mean)), set(inverse));
        if (sums.gain != nullptr) {
          const VF before = load_n(sums.gain + i, n);
          store_n(hn::MulAdd(g, xhat, before), sums.gain + i, n);
        }
        if constexpr (kExtras) {
          if (sums.norm_bias != nullptr) add_to(sums.norm_bias + i, g, n);
        }
        if (a.gain != nullptr) g = hn::Mul(g, load_n(a.gain + i, n));
        total[k] = hn::Add(total[k], g);
        product[k] = hn::MulAdd(g, xhat, product[k]);
      });
      if (a.norm == NormKind::kLayerNorm) shift = sum(hn::Add(total[0], total[1])) * share;
      slope = sum(hn::Add(product[0], product[1])) * share;
    }
    if (drops) dropout_multipliers(a.dropout, first, width, multiplier);
    vector_loop(width, [&](std::int64_t i, std::int64_t n, int) EVENKEEL_INLINE {
      VF t = a.d_sum != nullptr ? load_n(a.d_sum + first + i, n) : set(0);
      if (norms) {
        VF g = load_n(dy + i, n);
        if (a.gain != nullptr) g = hn::Mul(g, load_n(a.gain + i, n));
        const VF xhat = hn::Mul(hn::Sub(load_n(z + i, n), set(mean)), set(inverse));
        const VF inner = hn::NegMulAdd(xhat, set(slope), hn::Sub(g, set(shift)));
        t = hn::MulAdd(inner, set(inverse), t);
      }
      VF branch = t, through = t;
      if constexpr (kExtras) {
        if (drops) branch = hn::Mul(branch, load_n(multiplier + i, n));
        if (sums.f_bias != nullptr) add_to(sums.f_bias + i, branch, n);
        if (sums.omega != nullptr) {
          const VF before = load_n(sums.omega + i, n);
          store_n(hn::MulAdd(t, load_n(a.x + first + i, n), before), sums.omega + i, n);
        }
        if (a.omega != nullptr) through = hn::Mul(omega_at(a, i, n), t);
      }
      if (a.dx != nullptr) store_n(through, a.dx + first + i, n);
      if (a.df != nullptr) store_n(branch, a.df + first + i, n);
    });
  }
}

template <class F, class Y>
void backward(const AddNormBackward<F, Y>& a) {
  const RowChunks chunks(a.rows);
  const bool drops = a.dropout.on();
  const bool extras = a.omega != nullptr || a.d_f_bias != nullptr || drops || a.d_norm_bias != nullptr ||
                      a.d_omega != nullptr;
  float* const outputs[4] = {a.d_gain, a.d_norm_bias, a.d_f_bias, a.d_omega};
  constexpr std::int64_t kParts = 5;  // four sums and the multipliers of a row
  std::vector<float> scratch(static_cast<std::size_t>(chunks.count * kParts * a.width));
  parallel_for(chunks.count, [&](std::int64_t c) {
    const auto part = [&](std::int64_t k) { return scratch.data() + (c * kParts + k) * a.width; };
    const auto asked = [&](std::int64_t k) { return outputs[k] != nullptr ? part(k) : nullptr; };
    const ColumnSums sums{asked(0), asked(1), asked(2), asked(3)};
    if (extras) backward_rows<true>(a, chunks.begin(c), chunks.end(c), sums, part(4));
    else backward_rows<false>(a, chunks.begin(c), chunks.end(c), sums, part(4));
  });
  for (std::int64_t k = 0; k < 4; ++k) {
    float* out = outputs[k];
    if (out == nullptr) continue;
    float* total = scratch.data() + k * a.width;  // of the first chunk
    for (std::int64_t c = 1; c < chunks.count; ++c) {
      const float* more = scratch.data() + (c * kParts + k) * a.width;
      vector_loop(a.width, [&](std::int64_t i, std::int64_t n, int) EVENKEEL_INLINE {
        store_n(hn::Add(load_n(total + i, n), load_n(more + i, n)), total + i, n);
      });
    }
    if (k == 3 && !a.omega_per_channel) {
      double all = 0;
      for (std::int64_t i = 0; i < a.width; ++i) all += static_cast<double>(total[i]);
      out[0] = static_cast<float>(all);
      continue;
    }
    for (std::int64_t i = 0; i < a.width; ++i) out[i] = total[i];
  }
}

double forward_ff(const AddNormForward<float, float>& a) {
  return forward(a);
}
double forward_fb(const AddNormForward<float, bf16>& a) {
  return forward(a);
}
double forward_bf(const AddNormForward<bf16, float>& a) {
  return forward(a);
}
double forward_bb(const AddNormForward<bf16, bf16>& a) {
  return forward(a);
}
void backward_ff(const AddNormBackward<float, float>& a) {
  backward(a);
}
void backward_fb(const AddNormBackward<float, bf16>& a) {
  backward(a);
}
void backward_bf(const AddNormBackward<bf16, float>& a) {
  backward(a);
}
void backward_bb(const AddNormBackward<bf16, bf16>& a) {
  backward(a);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenkeel::kernels {
namespace {

HWY_EXPORT(forward_ff);
HWY_EXPORT(forward_fb);
HWY_EXPORT(forward_bf);
HWY_EXPORT(forward_bb);
HWY_EXPORT(backward_ff);
HWY_EXPORT(backward_fb);
HWY_EXPORT(backward_bf);
HWY_EXPORT(backward_bb);

}  // namespace

double add_norm_forward(const AddNormForward<float, float>& a) {
  return HWY_DYNAMIC_DISPATCH(forward_ff)(a);
}
double add_norm_forward(const AddNormForward<float, bf16>& a) {
  return HWY_DYNAMIC_DISPATCH(forward_fb)(a);
}
double add_norm_forward(const AddNormForward<bf16, float>& a) {
  return HWY_DYNAMIC_DISPATCH(forward_bf)(a);
}
double add_norm_forward(const AddNormForward<bf16, bf16>& a) {
  return HWY_DYNAMIC_DISPATCH(forward_bb)(a);
}
void add_norm_backward(const AddNormBackward<float, float>& a) {
  HWY_DYNAMIC_DISPATCH(backward_ff)(a);
}
void add_norm_backward(const AddNormBackward<float, bf16>& a) {
  HWY_DYNAMIC_DISPATCH(backward_fb)(a);
}
void add_norm_backward(const AddNormBackward<bf16, float>& a) {
  HWY_DYNAMIC_DISPATCH(backward_bf)(a);
}
void add_norm_backward(const AddNormBackward<bf16, bf16>& a) {
  HWY_DYNAMIC_DISPATCH(backward_bb)(a);
}

}  // namespace evenkeel::kernels
#endif
