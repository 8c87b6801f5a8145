// The activations of an MLP and their derivatives, a vector at a time.
//
//   tanh form   y = x s(2u), u = sqrt(2/pi) (x + 0.044715 x^3), s the logistic function;
//   erf form    y = x Phi(x); Phi by Abramowitz & Stegun 7.1.26, absolute error below 1.5e-7;
//   ReLU        y = max(x, 0).
// Hendrycks & Gimpel 2016, arXiv 1606.08415. NaN in gives NaN out.
#if defined(EVENKEEL_KERNELS_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENKEEL_KERNELS_ACTIVATION_INL_H_
#undef EVENKEEL_KERNELS_ACTIVATION_INL_H_
#else
#define EVENKEEL_KERNELS_ACTIVATION_INL_H_
#endif

#include "evenkeel/kernels/matmul.h"
#include "evenkeel/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {

struct Activated {
  VF value, slope;
};

/// T: what the results are stored as.
template <Activation A, class T>
HWY_INLINE Activated activate(VF x) {
  if constexpr (A == Activation::kRelu) {
    const auto positive = hn::Not(hn::Le(x, hn::Zero(f32)));  // NaN counts as positive and passes
    return {hn::IfThenElseZero(positive, x), hn::IfThenElseZero(positive, set(1))};
  } else if constexpr (A == Activation::kGeluTanh) {
    constexpr float kTwiceRoot = 1.5957691216f, kCubic = 0.044715f, kLog2E = 1.44269504f;
    const VF squared = hn::Mul(x, x);
    VF t = hn::Mul(x, hn::MulAdd(squared, set(-kTwiceRoot * kCubic * kLog2E), set(-kTwiceRoot * kLog2E)));
    t = hn::IfThenElse(hn::Gt(t, set(126)), set(126), t);
    const VF power = exp2<T>(t), logistic = reciprocal(hn::Add(set(1), power));
    const VF y = hn::Mul(x, logistic);
    // s' = s (1 - s) du. Beyond |x| = 12 it is 0, but neither the smallest power nor the last bit of 1 - s
    // is, and du grows like x^2: so du stays put from there on, and 1 - s is formed as power s.
    const VF du = hn::MulAdd(hn::Min(squared, set(1000)), set(3 * kTwiceRoot * kCubic), set(kTwiceRoot));
    return {y, hn::MulAdd(hn::Mul(y, hn::Mul(power, logistic)), du, logistic)};
  } else {
    const VF size = hn::Mul(hn::Abs(x), set(0.70710678f));
    const VF t = reciprocal(hn::MulAdd(size, set(0.3275911f), set(1)));
    VF p = set(1.061405429f);
    p = hn::MulAdd(p, t, set(-1.453152027f));
    p = hn::MulAdd(p, t, set(1.421413741f));
    p = hn::MulAdd(p, t, set(-0.284496736f));
    p = hn::MulAdd(p, t, set(0.254829592f));
    const VF bell = exp2<T>(hn::Mul(hn::Mul(size, size), set(-1.44269504f)));
    const VF tail = hn::Mul(hn::Mul(set(0.5f), hn::Mul(p, t)), bell);
    const VF phi = hn::IfThenElse(hn::Lt(x, hn::Zero(f32)), tail, hn::Sub(set(1), tail));
    return {hn::Mul(x, phi), hn::MulAdd(x, hn::Mul(bell, set(0.39894228f)), phi)};
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#endif
