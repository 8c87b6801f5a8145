# Writes OUT, a C++ file that holds SCRIPT and STYLE as raw string literals.
file(READ "${SCRIPT}" script)
file(READ "${STYLE}" style)
string(FIND "${script}${style}" ")EVENKEEL\"" clash)
if(NOT clash EQUAL -1)
  message(FATAL_ERROR "The page contains )EVENKEEL\", which ends its string literal: choose another delimiter in embed.cmake")
endif()
file(WRITE "${OUT}" "#include \"evenkeel/report/page.h\"\n\nnamespace evenkeel::report {\n\n"
  "std::string_view page_script() {\n  return R\"EVENKEEL(${script})EVENKEEL\";\n}\n\n"
  "std::string_view page_style() {\n  return R\"EVENKEEL(${style})EVENKEEL\";\n}\n\n}  // namespace evenkeel::report\n")
