// Working memory of kernels.
#pragma once

#include <hwy/aligned_allocator.h>

#include <cstdint>
#include <new>

namespace evenkeel::kernels {

/// Memory, aligned for vectors, that is kept between uses. Its contents are not.
template <class T>
class Scratch {
 public:
  /// Room for n values. Throws std::bad_alloc when there is none, and then keeps what it had.
  T* get(std::int64_t n) {
    if (n > size_) {
      auto memory = hwy::AllocateAligned<T>(static_cast<std::size_t>(n));
      if (memory == nullptr) throw std::bad_alloc();
      memory_ = std::move(memory);
      size_ = n;
    }
    return memory_.get();
  }

 private:
  hwy::AlignedFreeUniquePtr<T[]> memory_;
  std::int64_t size_ = 0;
};

}  // namespace evenkeel::kernels
