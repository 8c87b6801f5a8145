// evenkeel bench: how fast a training step is, beside its peers, and whether it computes the right thing.
#include <fmt/format.h>

#include <memory>

#include "cli/evenkeel/bench_text.h"
#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/output.h"
#include "evenkeel/base/error.h"
#include "evenkeel/bench/bars.h"
#include "evenkeel/bench/measure.h"
#include "evenkeel/bench/peers.h"
#include "evenkeel/sweep/process.h"

namespace evenkeel::cli {
namespace {

constexpr const char* kBenchExamples =
    "Examples:\n"
    "  evenkeel bench                               S, M and L beside PyTorch\n"
    "  evenkeel bench --config S --only telemetry   what recording costs\n"
    "  evenkeel bench --config S,M --only treatment --treat interventions.sigma_reparam=on\n"
    "  evenkeel bench --config tiny,S --peers torch,torch_tuned,torch_fp32\n"
    "  evenkeel bench --config mt_tiny --only throughput   translation\n"
    "  evenkeel bench --config S --only loaded      beside a busy process\n"
    "  evenkeel bench --config collapsed            collapsed attention\n"
    "  evenkeel bench --peers 'other=./other --train'   see docs/formats/bench.md\n"
    "Leave the machine alone meanwhile: about ten minutes on two cores.\n"
    "Exit code 4: the first step differs from plain fp32, so no figure is given.";

struct BenchArguments {
  bench::Options options;
  std::string precision = "auto", ops = "fused";
  bool json = false;
};

template <class Enum>
Enum value_named(const std::string& name) {
  for (const auto& [value, known] : EnumNames<Enum>::names)
    if (name == known) return value;
  throw InputError(fmt::format("unknown name \"{}\"", name));
}

int run(BenchArguments given) {
  bench::Options& options = given.options;
  options.precision = value_named<Precision>(given.precision);
  options.ops = value_named<OpPath>(given.ops);
  options.peers = bench::checked_peers(options.peers);
  std::vector<bench::Config> configs;
  for (const std::string& name : options.configs) configs.push_back(bench::find_config(name));
  const Experiment first = bench::experiment_of(configs.at(0), options);
  if (!options.treatments.empty() && !options.only.empty() && !options.asks_for("treatment"))
    throw InputError("--treat names what --only leaves out; add treatment to --only");
  for (const std::string& text : options.treatments) {
    const Settings treatment = bench::treatment_settings(text);
    for (const bench::Config& config : configs) bench::experiment_of(config, options, treatment);
  }
  sweep::find_trainer();

  Json answer{{"machine", bench::machine()},
              {"settings",
               {{"precision", std::string(enum_name(first.train.precision))},
                {"ops", given.ops},
                {"threads", options.threads},
                {"rounds", options.rounds},
                {"configs", options.configs}}},
              {"configs", Json::object()}};
  int code = kExitFinished;
  {
    Progress progress;
    const auto say = [&](const std::string& line) { progress.show({line}, line); };
    for (const bench::Config& config : configs) {
      const Json& result = answer["configs"][config.name] = bench::measure(config, options, say);
      answer["machine"]["libtorch"] = result.at("libtorch");
      if (result.at("answers_checked") != true) code = kExitInternal;
    }
  }
  answer["bars"] = bench::bars(answer["configs"], answer["machine"]);
  print_out("{}", given.json ? json_text(answer, 2) + "\n" : bench_text(answer, Style(stdout)));
  if (code != kExitFinished)
    print_err("evenkeel: the measured path computes wrong numbers, so its speed means nothing\n");
  return code;
}

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
  auto given = std::make_shared<BenchArguments>();
  bench::Options& o = given->options;
  CLI::App* command = app.add_subcommand("bench", "Measure the speed of training and check its answers");
  command->footer(kBenchExamples);
  command
      ->add_option("--config", o.configs,
                   "Of tiny, S, M, L; mt_tiny, mt_base, which translate;\ncollapsed (S,M,L)")
      ->type_name("LIST")
      ->delimiter(',');
  command
      ->add_option("--only", o.only,
                   "Of throughput, telemetry, spectra, treatment,\nmemory, processes, threads, start, "
                   "loaded,\ncollapsed, denormals")
      ->type_name("LIST")
      ->delimiter(',')
      ->check(CLI::IsMember(bench::measurements()).description(""));
  command
      ->add_option("--treat", o.treatments,
                   "Time a step with these settings, joined by commas,\nover one without; may be repeated")
      ->type_name("KEY=VALUE")
      ->take_all()
      ->allow_extra_args(false)
      ->expected(1);
  command
      ->add_option("--peers", o.peers,
                   "torch[_bf16|_fp32][_tuned] (torch: in our precision),\nNAME=COMMAND, or none")
      ->type_name("LIST")
      ->delimiter(',');
  command->add_option("--peer-python", o.peer_python, "Python that has torch")->type_name("PROGRAM");
  const auto number = [&](const char* name, int& value, int most, const char* doc) {
    command->add_option(name, value, doc)->type_name("N")->check(CLI::Range(1, most).description(""));
  };
  number("--rounds", o.rounds, 1000, "Rounds of every measurement (5)");
  number("--threads", o.threads, 1024, "Threads of one process (2)");
  number("--steps", o.steps, 100000, "Timed steps of a round (by config)");
  number("--pairs", o.pairs, 100000, "Steps with and without telemetry (by config)");
  command->add_option("--precision", given->precision, "Of matrix products (auto)")
      ->type_name("PRECISION")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}));
  command->add_option("--ops", given->ops, "Which implementation (fused)")
      ->type_name("PATH")
      ->check(CLI::IsMember({"fused", "plain"}));
  command
      ->add_option("--activation", o.activation,
                   "Of the MLP, ours and the peers' (gelu_erf; to\ntranslate relu)")
      ->type_name("NAME")
      ->check(CLI::IsMember({"gelu_erf", "gelu_tanh", "relu"}));
  add_json_flag(*command, given->json);
  command->callback([given, &exit_code] { exit_code = run(*given); });
}

}  // namespace evenkeel::cli
