// evenkeel bench: how fast a training step is, beside its peers, and whether it computes the right thing.
#include <fmt/format.h>

#include <memory>

#include "cli/evenkeel/bench_text.h"
#include "cli/evenkeel/commands.h"
#include "evenkeel/base/error.h"
#include "evenkeel/bench/bars.h"
#include "evenkeel/bench/measure.h"
#include "evenkeel/bench/peers.h"
#include "evenkeel/sweep/process.h"

namespace evenkeel::cli {
namespace {

constexpr const char* kExamples =
    "Examples:\n"
    "  evenkeel bench                               S, M and L beside PyTorch\n"
    "  evenkeel bench --config S --only telemetry   what recording costs\n"
    "  evenkeel bench --config tiny,S --peers torch,torch_tanh,torch_fp32\n"
    "  evenkeel bench --peers 'other=./other --train'   docs/formats/bench.md\n"
    "Leave the machine alone meanwhile: about ten minutes on two cores.\n"
    "Exit code 4: the first step differs from plain fp32, so no figure is given.";

struct Arguments {
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

int run(Arguments given) {
  bench::Options& options = given.options;
  options.precision = value_named<Precision>(given.precision);
  options.ops = value_named<OpPath>(given.ops);
  options.peers = bench::checked_peers(options.peers);
  std::vector<bench::Config> configs;
  for (const std::string& name : options.configs) configs.push_back(bench::find_config(name));
  const Experiment first = bench::experiment_of(configs.at(0), options);
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
  fmt::print("{}", given.json ? json_text(answer, 2) + "\n" : bench_text(answer, Style(stdout)));
  if (code != kExitFinished)
    fmt::print(stderr, "evenkeel: the measured path computes wrong numbers, so its speed means nothing\n");
  return code;
}

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
  auto given = std::make_shared<Arguments>();
  bench::Options& o = given->options;
  CLI::App* command = app.add_subcommand("bench", "Measure the speed of training and check its answers");
  command->footer(kExamples);
  command->add_option("--config", o.configs, "Model sizes, of tiny, S, M, L (S,M,L)")
      ->type_name("LIST")
      ->delimiter(',');
  command
      ->add_option("--only", o.only,
                   "Measure only these of throughput, telemetry, memory, processes, threads, start")
      ->type_name("LIST")
      ->delimiter(',')
      ->check(CLI::IsMember(bench::measurements()));
  command
      ->add_option("--peers", o.peers,
                   "Compare with torch, torch_bf16, torch_fp32 (each also with _tanh), NAME=COMMAND, or none "
                   "(torch: in our precision)")
      ->type_name("LIST")
      ->delimiter(',');
  command->add_option("--peer-python", o.peer_python, "Python that has torch")->type_name("PROGRAM");
  command->add_option("--rounds", o.rounds, "Rounds of every measurement (5)")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command->add_option("--threads", o.threads, "Threads of one process (2)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  command->add_option("--precision", given->precision, "auto, fp32 or bf16 (auto)")
      ->type_name("PRECISION")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}));
  command->add_option("--ops", given->ops, "fused or plain (fused)")
      ->type_name("PATH")
      ->check(CLI::IsMember({"fused", "plain"}));
  command->add_option("--steps", o.steps, "Timed steps of a round, in place of the config's own")
      ->type_name("N")
      ->check(CLI::Range(1, 100000));
  command->add_option("--pairs", o.pairs, "Pairs of steps with and without telemetry, likewise")
      ->type_name("N")
      ->check(CLI::Range(1, 100000));
  add_json_flag(*command, given->json);
  command->callback([given, &exit_code] { exit_code = run(*given); });
}

}  // namespace evenkeel::cli
