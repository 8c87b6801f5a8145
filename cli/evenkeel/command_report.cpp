#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/evenkeel/output.h"
#include "commands.h"
#include "evenkeel/base/error.h"
#include "evenkeel/report/probe_answers.h"
#include "evenkeel/report/report.h"

namespace evenkeel::cli {
namespace {

struct ReportArguments {
  std::string out, baseline;
  std::vector<std::string> folders, probes;
};

}  // namespace

void add_report(CLI::App& app, int& exit_code) {
  auto args = std::make_shared<ReportArguments>();
  CLI::App* command =
      app.add_subcommand("report", "Write the report of a sweep: one HTML file, readable offline");
  command->add_option("DIR", args->folders,
                      "Folder of a sweep, or of runs; several count as one. Not needed with --probe");
  command->add_option("-o,--out", args->out, "File to write (default: DIR/report.html)");
  command->add_option(
      "--baseline", args->baseline,
      "Arm that the others are compared with. Without it: the study's, else the one whose settings "
      "are the defaults");
  command
      ->add_option(
          "--probe", args->probes,
          "What `evenkeel probe dependency`, output-change or gradients said with --json, to be drawn too")
      ->type_name("FILE")
      ->allow_extra_args(false);
  command->footer(
      "Examples:\n  evenkeel report runs/demo\n  evenkeel report runs/demo --out qk_norm.html\n"
      "  evenkeel report runs/demo --probe dependency.json --probe output.json\n"
      "  evenkeel report --probe gradients.json --out gradients.html");
  command->callback([args, &exit_code] {
    namespace fs = std::filesystem;
    if (args->folders.empty() && args->probes.empty())
      throw InputError("report needs DIR, a folder of a sweep or of runs, or --probe FILE");
    if (args->folders.empty() && args->out.empty())
      throw InputError("report of --probe alone has no folder to write to; add --out FILE");
    if (args->folders.size() > 1 && args->out.empty())
      throw InputError("report of several folders has no one folder to write to; add --out FILE");
    const fs::path html =
        args->out.empty() ? fs::path(args->folders.front()) / "report.html" : fs::path(args->out);
    analysis::Options options;
    options.baseline = args->baseline;
    Json probes = report::read_probe_answers({args->probes.begin(), args->probes.end()});
    report::refuse_foreign(html);
    const Json document = args->folders.empty()
                              ? report::probes_document(std::move(probes))
                              : report::report_document({args->folders.begin(), args->folders.end()}, options,
                                                        std::move(probes));
    tell_damage(document.value("damage", std::vector<std::string>()));
    report::write_report(document, html);
    print_out("{}\n", html.string());
    exit_code = kExitFinished;
  });
}

}  // namespace evenkeel::cli
