#include <fmt/format.h>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/sweep_session.h"
#include "evenkeel/base/error.h"

namespace evenkeel::cli {

void SpecOptions::add_to(CLI::App& command, bool spec_required) {
  auto* spec = command.add_option("SPEC", spec_file, "Study file (TOML)");
  if (spec_required) spec->required();
  command
      .add_option("--set", sets,
                  "Set any field: --set optim.lr=0.03. An axis: --set 'sweep.optim.lr=[0.1, 0.3]'. May be "
                  "repeated; wins "
                  "over the file. `evenkeel config schema` lists the fields")
      ->type_name("KEY=VALUE")
      ->take_all()
      ->allow_extra_args(false)
      ->expected(1);
  command.add_option("--device", device, "Short for --set train.device=...: cpu or cuda")
      ->type_name("DEVICE");
  command.add_option("--precision", precision, "Short for --set train.precision=...: auto, fp32 or bf16")
      ->type_name("PRECISION");
  command.add_option("--ops", ops, "Short for --set train.ops=...: fused or plain")->type_name("PATH");
  command.add_option("--threads", threads, "Short for --set train.threads=...: threads of each trainer")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
}

Settings SpecOptions::overrides() const {
  Settings settings;
  for (const std::string& text : sets) {
    auto [path, setting] = parse_assignment(text);
    settings[path] = std::move(setting);
  }
  const auto shorthand = [&](const char* path, const Json& value, const char* flag) {
    if (const auto it = settings.find(path); it != settings.end() && it->second.value != value) {
      throw InputError(
          fmt::format("{} contradicts --set {}={}; keep one", flag, path, json_text(it->second.value)));
    }
    settings[path] = {value, flag};
  };
  if (!device.empty()) shorthand("train.device", device, "--device");
  if (!precision.empty()) shorthand("train.precision", precision, "--precision");
  if (!ops.empty()) shorthand("train.ops", ops, "--ops");
  if (threads > 0) shorthand("train.threads", threads, "--threads");
  return settings;
}

sweep::Cell SpecOptions::plan_one(const std::string& command) const {
  Settings file;
  if (!spec_file.empty()) file = settings_from_toml(spec_file, {"sweep"});
  const SweepSpec spec = sweep_from(std::move(file), overrides());
  if (!spec.axes.empty() && (spec.axes[0].name == kArmsAxis || spec.axes[0].paths.size() != 1)) {
    throw InputError(fmt::format(
        "{} sweeps {} ({}); {} makes one run: give a study without it, or use `evenkeel sweep`",
        spec_file.empty() ? "--set" : spec_file, spec.axes[0].name, spec.axes[0].origin, command));
  }
  if (!spec.axes.empty()) {
    throw InputError(
        fmt::format("{} sweeps {} ({}); {} makes one run: fix it with --set {}=..., or use "
                    "`evenkeel sweep`",
                    spec_file.empty() ? "--set" : spec_file, spec.axes[0].name, spec.axes[0].origin, command,
                    spec.axes[0].name));
  }
  return sweep::make_plan(spec, open_data, machine_has_fast_bf16()).cells.at(0);
}

void add_json_flag(CLI::App& command, bool& json) {
  command.add_flag("--json", json, "Print one JSON object on standard output and nothing else there");
}

}  // namespace evenkeel::cli
