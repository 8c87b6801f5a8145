// The libFuzzer program of one target, EVENKEEL_FUZZ_TARGET.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const evenkeel::fuzz::Target& target : evenkeel::fuzz::targets()) {
    if (std::strcmp(target.name, EVENKEEL_FUZZ_TARGET) == 0)
      target.run({reinterpret_cast<const char*>(data), size});
  }
  return 0;
}
