# -DEVENKEEL_SANITIZE=address,undefined instruments everything we compile.
if(EVENKEEL_SANITIZE)
  add_compile_options(-fsanitize=${EVENKEEL_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  # GCC sees false ones in instrumented standard headers (std::regex); the uninstrumented builds keep the warning.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  add_link_options(-fsanitize=${EVENKEEL_SANITIZE})
endif()
