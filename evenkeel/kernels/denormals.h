// Denormals: the numbers between 0 and the smallest normal one, 2^-126 = 1.2e-38 in fp32 and bf16 (2^-1022 =
// 2.2e-308 in double). Many processors compute with them in microcode, a hundred times as slowly as with
// others: the weights and gradients of attention that has collapsed are full of them, and an fp32 step took
// 18 times as long on an Intel Xeon. Flushed, each result and each operand of that size counts as 0 of its
// sign (x86: FTZ and DAZ of MXCSR; ARM: FZ of FPCR), and no number takes longer than another.
//
// What that does to results: a softmax weight below 1.2e-38 is 0 (the fused path's exponential ends
// there by itself), and its term of the entropy, below 1e-36, is too. Adam's second moment
// v <- b2 v + (1 - b2) g^2 stays 0 where (1 - b2) g^2 is below 1.2e-38 (|g| below 4.9e-19 at b2 = 0.95), so
// that the update is m / eps, as in exact numbers where eps is far above |g|; an eps of 0 counts there as the
// root of the smallest normal number (kernels/adamw.h).
// Sigma of a matrix whose W^T W lies below is that of zeros. Double loses nothing that anything here gets
// near. AVX512-BF16 and AMX products flush always.
#pragma once

#include <cstdint>

#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace evenkeel::kernels {

/// Flushes the denormals of the calling thread and of all that it starts from then on (a new thread and a
/// fork inherit the setting, pthread_create(3); another program does not), or keeps them. Does nothing on
/// processors other than x86 and 64-bit ARM.
inline void flush_denormals(bool flush) {
#if defined(__SSE__)
  constexpr unsigned kFlush = 1u << 15 | 1u << 6;  // FTZ, DAZ
  _mm_setcsr(flush ? _mm_getcsr() | kFlush : _mm_getcsr() & ~kFlush);
#elif defined(__aarch64__)
  constexpr std::uint64_t kFlush = std::uint64_t{1} << 24;  // FZ
  std::uint64_t control = 0;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  control = flush ? control | kFlush : control & ~kFlush;
  asm volatile("msr fpcr, %0" ::"r"(control));
#else
  static_cast<void>(flush);
#endif
}

/// Whether the calling thread flushes: results and operands.
inline bool flushes_denormals() {
  volatile float smallest = 1.17549435e-38f, half = 0.5f, denormal = 1e-40f, large = 1e10f;
  const volatile float result = smallest * half, operand = denormal * large;
  return result == 0 && operand == 0;
}

}  // namespace evenkeel::kernels
