# What keeps a build from nothing short. Most of a file's compile time goes into headers of others, so each target
# precompiles those that nearly all of its files include, and the presets but `dev` compile the sources of a folder as one
# (CMAKE_UNITY_BUILD). Sources still include what they use, and names without linkage are unique within a folder.

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

# For code whose running time nobody notices: -O3 spends half of its time on it with inlining the headers of others.
function(evenkeel_compile_quickly target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
endfunction()

# evenkeel_unite(target): its sources so far, a folder at a time.
function(evenkeel_unite target)
  get_target_property(sources ${target} SOURCES)
  foreach(source ${sources})
    get_filename_component(folder ${source} DIRECTORY)
    get_filename_component(folder ${folder} NAME)
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${folder})
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD_MODE GROUP)
endfunction()
