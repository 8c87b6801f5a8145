#include "evenkeel/kernels/tile_amx.h"

#if defined(__x86_64__) && defined(__GNUC__)

namespace evenkeel::kernels {
namespace {

/// The processor's tile registers. GCC 12's own intrinsics do not tell the compiler which memory they read or
/// write, so stores before them may be dropped; "memory" clobbers here do.
struct Hardware {
  template <int N>
  static void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(N) : "memory");
  }
  template <int N>
  static void load(const void* from, std::ptrdiff_t stride) {
    asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(N), "r"(from), "r"(stride) : "memory");
  }
  template <int N>
  static void store(void* to, std::ptrdiff_t stride) {
    asm volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(N), "r"(to), "r"(stride) : "memory");
  }
  template <int C, int A, int B>
  static void dot() {
    // AT&T order: B, A, C.
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B) : "memory");
  }
};

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

void begin() {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = 64;
    config.rows[i] = 16;
  }
  asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
}

void end() {
  asm volatile("tilerelease" ::: "memory");
}

}  // namespace

const Tile<bf16>& tile_amx() {
  static const Tile<bf16> chosen{"amx", 32, false, amx_multiply<Hardware>, begin, end};
  return chosen;
}

}  // namespace evenkeel::kernels
#else
namespace evenkeel::kernels {
const Tile<bf16>& tile_amx() {
  return tile_highway_bf16();
}
}  // namespace evenkeel::kernels
#endif
