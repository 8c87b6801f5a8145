#include "evenkeel/ops/threads.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

namespace evenkeel::ops {

void set_threads(int threads) {
  at::set_num_threads(threads);
  // The BLAS behind LibTorch is chosen by the system's alternatives, so its own setting is looked up at run
  // time.
  if (void* symbol = dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))
    reinterpret_cast<void (*)(int)>(symbol)(threads);
}

}  // namespace evenkeel::ops
