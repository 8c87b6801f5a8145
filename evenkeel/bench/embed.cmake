# Writes OUT, a C++ file with the function NAME that gives SCRIPT, as a raw string literal.
file(READ "${SCRIPT}" script)
string(FIND "${script}" ")EVENKEEL\"" clash)
if(NOT clash EQUAL -1)
  message(FATAL_ERROR "The script contains )EVENKEEL\", which ends its string literal: choose another delimiter in embed.cmake")
endif()
file(WRITE "${OUT}" "#include \"evenkeel/bench/peers.h\"\n\nnamespace evenkeel::bench {\n\n"
  "const char* ${NAME}() {\n  return R\"EVENKEEL(${script})EVENKEEL\";\n}\n\n}  // namespace evenkeel::bench\n")
