#include "evenkeel/ops/threads.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include "evenkeel/kernels/parallel.h"

namespace evenkeel::ops {

void set_threads(int threads) {
  // A thread's first look at LibTorch's number sets OpenMP's, which inside a loop of the kernels has to be 1.
  const auto look = [] { static_cast<void>(at::get_num_threads()); };
  kernels::set_threads(threads, look);
  at::set_num_threads(threads);
  look();
  // The BLAS behind LibTorch is chosen by the system's alternatives, so its own setting is looked up at run
  // time.
  if (void* symbol = dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))
    reinterpret_cast<void (*)(int)>(symbol)(threads);
}

OneThread::OneThread() : before_(at::get_num_threads()) {
  set_threads(1);
}
OneThread::~OneThread() {
  set_threads(before_);
}

}  // namespace evenkeel::ops
