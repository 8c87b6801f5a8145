// evenkeel verify: compares every file of runs with the hashes that were written with it.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/output.h"
#include "evenkeel/base/error.h"
#include "evenkeel/runs/records.h"
#include "evenkeel/runs/verify.h"
#include "evenkeel/sweep/sweep_file.h"

namespace evenkeel::cli {
namespace {

namespace fs = std::filesystem;

struct VerifyArguments {
  std::string folder;
  bool json = false;
};

void add_sweep_file(const fs::path& sweep, std::vector<runs::CheckedFile>& files) {
  const fs::path file = sweep / "sweep.json";
  if (!fs::exists(file) ||
      std::any_of(files.begin(), files.end(), [&](const auto& seen) { return seen.file == file; }))
    return;
  std::string damage;
  try {
    sweep::read_sweep_file(sweep);
  } catch (const InputError& e) {
    damage = e.what();
  }
  files.push_back({file, damage});
}

std::vector<runs::CheckedFile> verify(const fs::path& folder) {
  std::vector<runs::CheckedFile> files;
  add_sweep_file(folder, files);
  for (const fs::path& run : runs::find_runs(folder)) {
    const fs::path above = run.parent_path();
    if (above.filename() == "cells") add_sweep_file(above.parent_path(), files);
    for (runs::CheckedFile& file : runs::verify_run(run)) files.push_back(std::move(file));
  }
  return files;
}

}  // namespace

void add_verify(CLI::App& app, int& exit_code) {
  auto args = std::make_shared<VerifyArguments>();
  CLI::App* command =
      app.add_subcommand("verify", "Compare every file of runs with its hash: is all as it was written?");
  command->add_option("DIR", args->folder, "Folder of a run, of a sweep, or of several")->required();
  add_json_flag(*command, args->json);
  command->footer(
      "Exit code 2 when anything is damaged.\n"
      "Examples:\n  evenkeel verify runs/a\n  evenkeel verify runs --json");
  command->callback([args, &exit_code] {
    const std::vector<runs::CheckedFile> files = verify(args->folder);
    const auto damaged =
        std::count_if(files.begin(), files.end(), [](const auto& f) { return !f.damage.empty(); });
    if (args->json) {
      Json list = Json::array();
      for (const auto& [file, damage] : files) {
        list.push_back({{"file", file.string()}, {"whole", damage.empty()}});
        if (!damage.empty()) list.back()["why"] = damage;
      }
      print_out("{}\n", json_text({{"files", list}, {"damaged", damaged}}, 2));
    } else {
      for (const auto& [file, damage] : files)
        print_out("{}  {}\n", damage.empty() ? "ok     " : "damaged",
                  damage.empty() ? file.string() : damage);
    }
    if (damaged > 0)
      throw InputError(
          fmt::format("{} of {} files are damaged; restore them, or delete their run and run it again",
                      damaged, files.size()));
    exit_code = kExitFinished;
  });
}

}  // namespace evenkeel::cli
