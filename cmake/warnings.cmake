# The warnings our own code is free of; headers of others are system headers. They are errors only where asked for, as
# continuous integration does: a compiler that warns of more must not break anybody's build. GCC 12 and 14 see
# subscripts out of bounds inside the standard library where there are none; the address sanitizer looks for real ones.
option(EVENKEEL_WERROR "Treat warnings as errors" OFF)
add_library(evenkeel_warnings INTERFACE)
target_compile_options(evenkeel_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast
                                                   -Woverloaded-virtual -Wconversion -Wno-sign-conversion
                                                   $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds>
                                                   $<$<BOOL:${EVENKEEL_WERROR}>:-Werror>)
