// How freed tensor memory is kept.
#pragma once

namespace evenkeel::ops {

/// Tells the allocator to keep freed memory for reuse. Every step allocates the same activations again;
/// handing them back to the system and faulting them in anew costs a sixth of a small training step. Call
/// once, before the first tensor. Does nothing where the C library is not glibc.
void keep_freed_memory();

}  // namespace evenkeel::ops
