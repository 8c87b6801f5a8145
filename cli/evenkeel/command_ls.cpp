#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/output.h"
#include "cli/evenkeel/terminal.h"
#include "evenkeel/base/error.h"
#include "evenkeel/base/printable.h"
#include "evenkeel/runs/cell.h"
#include "evenkeel/runs/progress.h"
#include "evenkeel/runs/records.h"

namespace evenkeel::cli {
namespace {

Json listing_json(const runs::Listing& listing) {
  const auto arms = runs::arms_of(listing.cells);
  Json list = Json::array();
  for (std::size_t i = 0; i < listing.cells.size(); ++i) {
    const runs::Cell& cell = listing.cells[i];
    Json entry = runs::summary_json(cell, runs::progress_of(cell));
    entry["label"] = cell.result ? Json(cell.result->label) : Json(nullptr);
    entry["arm"] = arms[i];
    entry["damage"] = cell.damage;
    list.push_back(std::move(entry));
  }
  for (const auto& [run, why] : listing.damaged) {
    list.push_back({{"run", run.string()}, {"state", "damaged"}, {"label", nullptr}, {"why", why}});
  }
  return list;
}

std::string steps_text(const runs::Progress& p, bool ended) {
  if (p.step == 0 && p.steps == 0) return "-";
  return ended ? fmt::format("{}", p.step) : fmt::format("{}/{}", p.step, p.steps);
}

void print_listing(const runs::Listing& listing, const fs::path& folder) {
  const auto arms = runs::arms_of(listing.cells);
  std::vector<std::vector<std::string>> rows{{"run", "size", "lr", "seed", "arm", "state", "steps", "loss"}};
  for (std::size_t i = 0; i < listing.cells.size(); ++i) {
    const runs::Cell& cell = listing.cells[i];
    const runs::Progress progress = runs::progress_of(cell);
    const fs::path name = cell.run == folder ? cell.run : cell.run.lexically_relative(folder);
    rows.push_back({name.string(), cell.size.empty() ? "-" : cell.size,
                    std::isnan(cell.lr) ? "-" : fmt::format("{:g}", cell.lr), fmt::format("{}", cell.seed),
                    arms[i], progress.state, steps_text(progress, cell.result.has_value()),
                    progress.loss ? fmt::format("{:.4f}", *progress.loss) : "-"});
  }
  if (!listing.cells.empty()) print_out("{}", table_text(rows, Style(stdout)));
  for (const auto& [run, why] : listing.damaged) print_out("damaged: {}\n", printable(why));
  for (const runs::Cell& cell : listing.cells)
    for (const std::string& why : cell.damage) print_out("damaged: {}\n", printable(why));
}

struct LsArguments {
  std::string folder;
  bool json = false;
};

}  // namespace

void add_ls(CLI::App& app, int& exit_code) {
  auto args = std::make_shared<LsArguments>();
  CLI::App* command = app.add_subcommand("ls", "List the runs in a folder: arm, state, steps, loss");
  command->add_option("DIR", args->folder, "Folder of runs, of a sweep, or of several")->required();
  add_json_flag(*command, args->json);
  command->footer("Examples:\n  evenkeel ls runs/demo\n  evenkeel ls runs --json");
  command->callback([args, &exit_code] {
    const runs::Listing listing = runs::list_cells(args->folder);
    if (args->json) print_out("{}\n", json_text(listing_json(listing), 2));
    else print_listing(listing, args->folder);
    exit_code = kExitFinished;
  });
}

}  // namespace evenkeel::cli
