// What the sanitizers leave alone in a program that links LibTorch, which is not instrumented. Linked into
// the tests that do; without a sanitizer nobody calls these functions. Nothing here names code of our own.
#if defined(__SANITIZE_ADDRESS__)

extern "C" {

const char* __asan_default_options();
const char* __lsan_default_suppressions();

// LibTorch's own containers cross into our code, where their annotations are not seen; and it defines some
// globals in several of its libraries.
const char* __asan_default_options() {
  return "detect_container_overflow=0:detect_odr_violation=0";
}

// Registries, thread-local caches and thread pools that LibTorch, OpenBLAS and OpenMP keep to the end.
const char* __lsan_default_suppressions() {
  return "leak:libtorch_cpu\n"
         "leak:libc10\n"
         "leak:libopenblas\n"
         "leak:libgomp\n";
}

}  // extern "C"

#endif
