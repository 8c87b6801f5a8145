// The report's page as built from web/: one script and one style sheet, embedded when the library is built.
#pragma once

#include <string_view>

namespace evenkeel::report {

std::string_view page_script();
std::string_view page_style();

}  // namespace evenkeel::report
