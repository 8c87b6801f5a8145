# Warnings are errors in our own code; headers of others are system headers.
add_library(evenkeel_warnings INTERFACE)
target_compile_options(evenkeel_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast
                                                   -Woverloaded-virtual -Wconversion -Wno-sign-conversion -Werror)
