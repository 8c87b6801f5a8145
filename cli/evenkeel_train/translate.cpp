#include "cli/evenkeel_train/translate.h"

#include <fmt/format.h>

#include <optional>

#include "evenkeel/base/error.h"
#include "evenkeel/base/json.h"
#include "evenkeel/kernels/isa.h"
#include "evenkeel/ops/memory.h"
#include "evenkeel/ops/threads.h"
#include "evenkeel/train/evaluate.h"
#include "evenkeel/train/load_run.h"

namespace evenkeel::cli {

void add_translate(CLI::App& command, TranslateArguments& arguments) {
  command.add_option("RUN", arguments.run)->required();
  command.add_option("--step", arguments.step);
  command.add_option("--average", arguments.average);
  command.add_option("--threads", arguments.threads);
  command.add_option("--beam", arguments.search.beam);
  command.add_option("--length-penalty", arguments.search.length_penalty);
}

int translate(const TranslateArguments& arguments, std::istream& in, std::ostream& out) {
  kernels::check_isa_setting();
  ops::keep_freed_memory();
  ops::set_threads(static_cast<int>(arguments.threads));
  const train::LoadedRun loaded = train::load_run(
      arguments.run, arguments.step >= 0 ? std::optional<std::int64_t>(arguments.step) : std::nullopt,
      arguments.average);
  const auto* model = dynamic_cast<const models::Seq2Seq*>(loaded.model.get());
  if (model == nullptr)
    throw InputError(fmt::format("{} holds a {}, which does not translate; give a run of seq2seq",
                                 arguments.run, enum_name(loaded.manifest.experiment.arch.family)));
  const nn::Context context = train::pass_context(loaded.manifest.experiment, loaded.step);
  out << json_text({{"step", loaded.step}, {"warnings", loaded.warnings}}) << std::endl;
  for (std::string line; std::getline(in, line);) {
    const Json request = parse_json(line, "the request");
    Json targets = Json::array();
    for (const Json& source : request.at("sources"))
      targets.push_back(
          models::translate(*model, source.get<std::vector<std::int32_t>>(), arguments.search, context));
    out << json_text({{"targets", targets}}) << std::endl;
  }
  return kExitFinished;
}

}  // namespace evenkeel::cli
