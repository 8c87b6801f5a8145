// Denormals are flushed (kernels/denormals.h) on every thread of this program: the setting is made before the
// libraries' own initialisers run, some of which start threads (OpenBLAS), and whatever starts later inherits
// it.
#include "evenkeel/kernels/denormals.h"

namespace {

void flush(int, char**, char**) {
  evenkeel::kernels::flush_denormals(true);
}

[[gnu::used, gnu::section(".preinit_array")]] void (*before_libraries)(int, char**, char**) = flush;

}  // namespace
