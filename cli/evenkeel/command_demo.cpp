#include "cli/evenkeel/commands.h"
namespace evenkeel::cli {
void add_demo(CLI::App&, int&) {}
}  // namespace evenkeel::cli
