#include "cli/evenkeel/commands.h"
namespace evenkeel::cli {
void add_config(CLI::App&, int&) {}
}  // namespace evenkeel::cli
