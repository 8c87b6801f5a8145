#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "commands.h"
#include "evenkeel/base/error.h"
#include "evenkeel/report/report.h"

namespace evenkeel::cli {
namespace {

struct Arguments {
  std::string folder, out, baseline;
};

}  // namespace

void add_report(CLI::App& app, int& exit_code) {
  auto args = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("report", "Write the report of a sweep: one HTML file, readable offline");
  command->add_option("DIR", args->folder, "Folder of a sweep, or of runs")->required();
  command->add_option("--out", args->out, "File to write (default: DIR/report.html)");
  command->add_option("--baseline", args->baseline,
                      "Arm that the others are compared with (default: interventions off)");
  command->footer("Examples:\n  evenkeel report runs/demo\n  evenkeel report runs/demo --out qk_norm.html");
  command->callback([args, &exit_code] {
    namespace fs = std::filesystem;
    const fs::path html = args->out.empty() ? fs::path(args->folder) / "report.html" : fs::path(args->out);
    analysis::Options options;
    options.baseline = args->baseline;
    report::write_report(args->folder, html, options);
    std::cout << html.string() << '\n';
    exit_code = kExitFinished;
  });
}

}  // namespace evenkeel::cli
