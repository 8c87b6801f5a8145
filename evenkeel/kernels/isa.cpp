#include "evenkeel/kernels/isa.h"

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include "evenkeel/base/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace evenkeel::kernels {
namespace {

constexpr std::array<std::string_view, 5> kNames{"portable", "avx2", "avx512", "avx512_bf16", "amx"};

#if defined(__x86_64__)
/// The kernel hands out the tile registers, 8 KiB of state, only to processes that ask.
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool has_amx_bf16() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;
  return (d & kAmxBf16) != 0 && (d & kAmxTile) != 0 && may_use_tiles();
}

bool has_avx512_bf16() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1u << 5)) != 0;
}

/// What Highway's targets, less those that were switched off, and the processor's flags amount to.
Isa detect() {
  static const bool bf16 = has_avx512_bf16(), amx = has_amx_bf16();
  const std::int64_t targets = hwy::SupportedTargets();
  if ((targets & HWY_AVX3) != 0) {
    if (!bf16) return Isa::kAvx512;
    return amx ? Isa::kAmx : Isa::kAvx512Bf16;
  }
  return (targets & HWY_AVX2) != 0 ? Isa::kAvx2 : Isa::kPortable;
}
#else
Isa detect() {
  return Isa::kPortable;
}
#endif

Isa from_environment() {
  const char* wanted = std::getenv("EVENKEEL_ISA");
  for (std::size_t i = 0; wanted != nullptr && i < kNames.size(); ++i)
    if (std::string(wanted) == kNames[i]) return static_cast<Isa>(i);
  return Isa::kAmx;
}

/// What isa() answers.
Isa current = Isa::kPortable;

void forbid_above(Isa highest) {
#if defined(__x86_64__)
  const std::int64_t above = (highest < Isa::kAvx512 ? HWY_AVX3 : 0) | (highest < Isa::kAvx2 ? HWY_AVX2 : 0);
  hwy::DisableTargets(above);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
#endif
  current = std::min(detect(), highest);
  use_bf16_instructions = current >= Isa::kAvx512Bf16;
}

}  // namespace

bool use_bf16_instructions = isa() >= Isa::kAvx512Bf16;

Isa isa() {
  static const bool once = (forbid_above(from_environment()), true);
  static_cast<void>(once);
  return current;
}

void limit_isa(Isa highest) {
  isa();
  forbid_above(highest);
}

void check_isa_setting() {
  const char* wanted = std::getenv("EVENKEEL_ISA");
  if (wanted == nullptr || std::find(kNames.begin(), kNames.end(), std::string_view(wanted)) != kNames.end())
    return;
  throw InputError(
      std::string("EVENKEEL_ISA must be one of portable, avx2, avx512, avx512_bf16, amx, got \"") + wanted +
      "\"; change it or unset it");
}

std::string isa_name(Isa isa) {
  return std::string(kNames[static_cast<std::size_t>(isa)]);
}

}  // namespace evenkeel::kernels
