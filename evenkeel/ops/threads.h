// The number of threads of every library that computes for us.
#pragma once

namespace evenkeel::ops {

/// Sets the kernels' threads (kernels/parallel.h), LibTorch's own and, where it is OpenBLAS, those of the
/// BLAS library, which keeps a pool of its own. Call once, before the first tensor operation.
void set_threads(int threads);

/// Sets one thread for as long as it lives, whatever ends it.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace evenkeel::ops
