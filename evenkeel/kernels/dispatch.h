// EVENKEEL_KERNEL compiles one function for several generations of x86-64 processors and picks at load time.
//
// The loops of this folder are plain C++ that the compiler vectorises; the attribute gives them AVX2 and
// AVX-512 bodies without flags that would leak into standard headers. Bits may differ between processor
// generations, never between two runs on one machine. Elsewhere, and under sanitizers (they cannot see
// through load-time selection), the macro is empty and the baseline body runs.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define EVENKEEL_KERNEL __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define EVENKEEL_KERNEL
#endif
