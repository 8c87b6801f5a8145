// Which instruction sets the kernels may use.
#pragma once

#include <string>

namespace evenkeel::kernels {

/// Each level includes those before it. kPortable is what every x86-64 processor has.
enum class Isa { kPortable, kAvx2, kAvx512, kAvx512Bf16, kAmx };

/// The highest level that this processor has and no limit forbids.
Isa isa();
/// Forbids everything above `highest`, for tests and for comparing; also the environment variable
/// EVENKEEL_ISA (portable, avx2, avx512, avx512_bf16 or amx) at the first call of isa(). The processor still
/// has to have it. Call before any kernel runs.
void limit_isa(Isa highest);
/// Throws InputError when EVENKEEL_ISA holds none of those names (isa() itself counts it as no limit).
void check_isa_setting();
std::string isa_name(Isa isa);

/// Whether isa() includes AVX512-BF16: vectors of fp32 are then rounded to bf16 by one instruction.
extern bool use_bf16_instructions;

}  // namespace evenkeel::kernels
