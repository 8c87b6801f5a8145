# What keeps a build from nothing short. Most of a file's compile time goes into headers of others, so each target
# precompiles those that nearly all of its files include; sources still include what they use.

# evenkeel_precompile(target [header...]): the common headers, and `header`s.
function(evenkeel_precompile target)
  target_precompile_headers(${target} PRIVATE <algorithm> <cmath> <filesystem> <functional> <map> <memory> <optional> <string>
                                              <vector> <fmt/format.h> <nlohmann/json.hpp> ${ARGN})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -fpch-preprocess)  # for ccache
  endif()
endfunction()

# What of LibTorch nearly every file that uses it includes.
set(EVENKEEL_TORCH_HEADERS <ATen/TensorOperators.h> <ATen/core/Tensor.h> <ATen/ops/cat.h> <ATen/ops/empty.h>
                           <ATen/ops/full.h> <ATen/ops/zeros.h> <c10/core/GradMode.h>)

# evenkeel_compile_quickly(TARGET target | SOURCES source...): for code whose running time nobody notices. -O3 spends
# half of its time on it with inlining the headers of others.
function(evenkeel_compile_quickly)
  cmake_parse_arguments(QUICK "" "TARGET" "SOURCES" ${ARGN})
  set(option $<$<CONFIG:Release>:-O1>)
  if(QUICK_TARGET)
    target_compile_options(${QUICK_TARGET} PRIVATE ${option})
  endif()
  set_property(SOURCE ${QUICK_SOURCES} APPEND PROPERTY COMPILE_OPTIONS ${option})
endfunction()
