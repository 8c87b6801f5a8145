#include "evenkeel/spec/experiment.h"

#include <gtest/gtest.h>

#include <set>

#include "evenkeel/base/error.h"
#include "evenkeel/kernels/isa.h"
#include "tests/support/instruction_sets.h"

namespace evenkeel {
namespace {

// An experiment from TOML text, resolved on data with this fingerprint.
Experiment from(const std::string& toml) {
  return experiment_from(settings_from_toml_text(toml, "s.toml"));
}

Experiment resolved(const std::string& toml, const std::string& fingerprint = "f00d",
                    bool fast_bf16 = false) {
  Experiment e = from(toml);
  resolve(e, {e.data.path ? DataKind::kBytes : DataKind::kSynthetic, 256, fingerprint}, fast_bf16);
  return e;
}

void expect_error(const std::string& toml, const std::vector<std::string>& parts) {
  try {
    from(toml);
    ADD_FAILURE() << "no error for " << toml;
  } catch (const InputError& e) {
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what() << "\nlacks: " << part;
    }
  }
}

TEST(ExperimentErrors, EveryKindNamesKeyExpectationFactAndLine) {
  expect_error("[optim]\nlr = -0.1\n", {"[optim.lr] must be > 0, got -0.1 (s.toml:2)"});
  expect_error("[optim]\nlr = 0\n", {"[optim.lr] must be > 0, got 0 (s.toml:2)"});
  expect_error("[optim]\nlr = \"high\"\n", {"[optim.lr] must be a number > 0, got \"high\" (s.toml:2)"});
  expect_error("[optim]\nlr = nan\n", {"[optim.lr] must be", "(s.toml:2)"});
  expect_error("[optim]\nlr = inf\n", {"[optim.lr] must be", "(s.toml:2)"});
  expect_error("[optim]\nbeta1 = 1.5\n", {"[optim.beta1] must be", "0.99999", "got 1.5 (s.toml:2)"});
  expect_error("[train]\nsteps = 1.5\n",
               {"[train.steps] must be a whole number >= 1 and <= 1000000000, got 1.5 (s.toml:2)"});
  expect_error("[train]\nsteps = 0\n", {"[train.steps] must be >= 1 and <= 1000000000, got 0 (s.toml:2)"});
  expect_error("[train]\nprecision = \"fp8\"\n",
               {"[train.precision] must be one of auto, fp32, bf16, got \"fp8\""});
  expect_error("[arch]\nbias = 1\n", {"[arch.bias] must be true or false, got 1 (s.toml:2)"});
  expect_error("[optim]\nwarmup = \"soon\"\n",
               {"[optim.warmup] must be a length of training", "got \"soon\""});
  expect_error("[optim]\nwarmup = \"-4step\"\n", {"[optim.warmup] must be a length of training"});
  expect_error("[data]\npath = 3\n", {"[data.path] must be a string, got 3 (s.toml:2)"});
  expect_error("[optim]\nlearning_rate = 1\n", {"[optim.learning_rate] is not a known key (s.toml:2)"});
  expect_error("[interventions]\nqknorm = \"off\"\n",
               {"(s.toml:2); did you mean \"interventions.qk_norm\"?"});
  expect_error("optim = 3\n", {"[optim] is not a known key (s.toml:1)"});
}

TEST(ExperimentErrors, CountsThatDoNotFit) {
  for (const char* number : {"9223372036854775808", "18446744073709551615"}) {
    for (const auto& [section, field] : {std::pair{"train", "seed"}, std::pair{"optim", "warmup"}}) {
      try {
        experiment_from_json({{section, {{field, parse_json(number, "x")}}}}, "m.json");
        ADD_FAILURE() << number;
      } catch (const InputError& e) {
        EXPECT_NE(std::string(e.what()).find(number), std::string::npos)
            << e.what();  // as given, not wrapped
      }
    }
  }
  expect_error("[arch]\ncontext = 4000000000\n",
               {"[arch.context] must be >= 2 and <= 1048576, got 4000000000"});
  expect_error("[arch]\nwidth = 65536\ndepth = 10000\nheads = 2\n",
               {"[arch.depth] = 10000 (s.toml:3)", "weights"});
  expect_error("[train]\nbatch = 16777216\nsteps = 1_000_000_000\n",
               {"[train.steps] = 1000000000", "training tokens"});
  expect_error("[train]\nbatch = 16777216\nsteps = 1\n[arch]\ncontext = 1000000\n", {"activations"});
  expect_error("[train]\nbatch = 65536\nops = \"plain\"\nsteps = 1\n[arch]\ncontext = 1000000\n",
               {"activations"});
  // Large, and somebody's machine.
  from(
      "[arch]\nladder = \"paper\"\nsize = \"4.8B\"\ncontext = 131072\n[train]\nbatch = 1024\nsteps = "
      "100000\n");
}

TEST(ExperimentErrors, ContradictionsNameBothSides) {
  expect_error("[arch]\nsize = \"d65\"\n",
               {"[arch.size] must be a rung of ladder mini", "d64", "got \"d65\" (s.toml:2)"});
  expect_error("[arch]\nladder = \"maxi\"\n", {"[arch.ladder] must be one of mini, paper", "(s.toml:2)"});
  expect_error("[arch]\nsize = \"d64\"\nwidth = 96\n",
               {"[arch.width] = 96 (s.toml:3)", "\"d64\" (s.toml:2)", "is 64"});
  expect_error("[arch]\nwidth = 64\nheads = 4\n", {"[arch.depth] is missing"});
  expect_error("[arch]\nwidth = 64\nheads = 3\ndepth = 2\n",
               {"[arch.heads] = 3 (s.toml:3)", "[arch.width] = 64 (s.toml:2)"});
  expect_error("[arch]\nwidth = 12\nheads = 4\ndepth = 2\n", {"heads of even width"});
  expect_error("[data]\nkind = \"bytes\"\n", {"[data.path] is missing", "\"bytes\" (s.toml:2)"});
  expect_error("[data]\nkind = \"synthetic\"\npath = \"x\"\n",
               {"[data.path] = \"x\" (s.toml:3)", "(s.toml:2)"});
  expect_error("[data]\nvalid_path = \"x\"\n", {"[data.valid_path]", "needs [data.path]"});
  expect_error("[train]\nsteps = 30\n[optim]\nwarmup = \"40step\"\n",
               {"[optim.warmup] = 40step (s.toml:4)", "[train.steps] = 30 (s.toml:2)"});
  expect_error("[optim]\ndecay_form = \"coupled\"\nweight_decay = 0.5\nlr = 3.0\n",
               {"[optim.weight_decay] = 0.5 (s.toml:3)", "[optim.lr] = 3 (s.toml:4)"});
}

TEST(Experiment, LadderFillsTheShape) {
  const Experiment by_default = resolved("");
  EXPECT_EQ(by_default.arch.size, "d64");
  EXPECT_EQ(by_default.arch.D(), 64);
  EXPECT_EQ(by_default.arch.L(), 2);
  EXPECT_EQ(by_default.arch.H(), 4);
  EXPECT_EQ(by_default.arch.F(), 256);
  EXPECT_EQ(by_default.arch.params(), 98304);
  const Experiment paper = resolved("[arch]\nladder = \"paper\"\n");
  EXPECT_EQ(paper.arch.size, "2.4M");
  EXPECT_EQ(paper.arch.params(), 2359296);
  EXPECT_EQ(resolved("[arch]\nladder = \"paper\"\nsize = \"19M\"\n").arch.params(), 18874368);
  const Experiment by_hand = resolved("[arch]\nwidth = 40\ndepth = 1\nheads = 2\n");
  EXPECT_EQ(by_hand.arch.size, "d40L1h2");
  EXPECT_EQ(by_hand.arch.K(), 20);
}

TEST(Experiment, LaddersAreUsableAtEveryRung) {
  for (const std::string& name : ladder_names()) {
    std::int64_t last = 0;
    for (const Rung& rung : ladder(name)) {
      const Experiment e = resolved("[arch]\nladder = \"" + name + "\"\nsize = \"" + rung.name + "\"\n");
      EXPECT_EQ(e.arch.K(), name == "mini" ? 16 : 64) << rung.name;
      EXPECT_GT(e.arch.params(), last) << rung.name;
      last = e.arch.params();
    }
  }
}

TEST(Experiment, AutosResolveByTheDefinitions) {
  const Experiment e = resolved("");
  EXPECT_EQ(e.optim.weight_decay, 10.0 / 300);
  EXPECT_EQ(e.optim.warmup->text(), "40step");
  EXPECT_EQ(e.train.precision, Precision::kFp32);
  EXPECT_EQ(e.data.vocab, 256);
  EXPECT_EQ(e.data.fingerprint, "f00d");
  EXPECT_EQ(resolved("", "f00d", true).train.precision, Precision::kBf16);
  EXPECT_EQ(resolved("[train]\nsteps = 2000\n").optim.warmup->text(), "100step");
  EXPECT_EQ(resolved("[train]\nsteps = 10\n").optim.warmup->text(), "10step");
  EXPECT_EQ(resolved("[optim]\ndecay_form = \"coupled\"\n").optim.weight_decay, 0.1);
  for (const auto& [path, setting] : settings_from_json(to_json(e), "")) {
    if (path == "data.path" || path == "data.valid_path" || path == "arch.decoder_depth" ||
        path == "arch.decoder_residual" || path == "train.initial_weights")
      continue;
    EXPECT_NE(setting.value, "auto") << path;
  }
}

TEST(Experiment, DecayIsAdamWsUnlessAsked) {
  EXPECT_EQ(resolved("").optim.decay_form, DecayForm::kIndependent);
  for (const char* algorithm : {"adam", "radam", "sgd", "lars", "adagrad"}) {
    const std::string chosen = std::string("[optim]\nalgorithm = \"") + algorithm + "\"\n";
    const Experiment e = resolved(chosen);
    EXPECT_EQ(e.optim.weight_decay, 0.0);
    EXPECT_FALSE(e.optim.decay_form.has_value());
    EXPECT_EQ(resolved(chosen + "weight_decay = 0.2\n").optim.weight_decay, 0.2);
    const Experiment back = experiment_from_json(Json::parse(to_json(e).dump()), "manifest.json");
    EXPECT_EQ(config_hash(back), config_hash(e));
    expect_error(chosen + "decay_form = \"independent\"\n",
                 {"[optim.decay_form] = \"independent\" (s.toml:3) contradicts [optim.algorithm]",
                  std::string("[optim.algorithm] = \"") + algorithm + "\" (s.toml:2)"});
  }
}

TEST(Experiment, ResolveIsIdempotentAndSurvivesItsOwnJson) {
  for (const char* toml :
       {"", "[data]\npath = \"x.txt\"\n[optim]\nlr = 0.3\n", "[arch]\nwidth = 40\ndepth = 0\nheads = 2\n",
        "[arch]\nsize = \"d128\"\nffn_width = 100\n[optim]\nwarmup = \"5%\"\n"}) {
    const Experiment once = resolved(toml);
    Experiment twice = once;
    resolve(twice, {*once.data.kind, 256, "f00d"}, true);
    EXPECT_EQ(to_json(twice), to_json(once)) << toml;
    const Experiment back = experiment_from_json(Json::parse(to_json(once).dump()), "manifest.json");
    EXPECT_EQ(to_json(back), to_json(once)) << toml;
    EXPECT_EQ(config_hash(back), config_hash(once)) << toml;
  }
}

TEST(Experiment, HashIsTheIdentity) {
  const std::string base = config_hash(resolved("[data]\npath = \"a.txt\"\n"));
  EXPECT_EQ(base.size(), 16u);
  EXPECT_EQ(config_hash(resolved("[data]\npath = \"b/c.txt\"\n")), base) << "a path does not count";
  EXPECT_NE(config_hash(resolved("[data]\npath = \"a.txt\"\n", "beef")), base) << "the data does";
  EXPECT_EQ(config_hash(resolved("[data]\npath = \"a.txt\"\n[optim]\nwarmup = \"40step\"\n")), base)
      << "what auto chooses is the same as saying it";
  EXPECT_EQ(config_hash(resolved("[data]\npath = \"a.txt\"\n[arch]\nsize = \"d64\"\n")), base);
  for (const char* change :
       {"[train]\nseed = 2\n", "[optim]\nlr = 0.02\n", "[interventions]\nqk_norm = \"per_head\"\n",
        "[arch]\nsize = \"d96\"\n", "[train]\nprecision = \"bf16\"\n"}) {
    const bool bf16 = std::string_view(change).find("bf16") != std::string_view::npos;
    EXPECT_NE(config_hash(resolved(std::string("[data]\npath = \"a.txt\"\n") + change, "f00d", bf16)), base)
        << change;
  }
}

TEST(Experiment, Bf16NeedsAProcessorThatHasIt) {
  EXPECT_THROW(resolved("[train]\nprecision = \"bf16\"\n", "f00d", false), InputError);
  EXPECT_EQ(resolved("", "f00d", false).train.precision, Precision::kFp32);
}

TEST(Experiment, CoupledDecayThatErasesWeightsIsRefusedAlsoWhenAuto) {
  expect_error("[optim]\ndecay_form = \"coupled\"\nlr = 10.0\n", {"[optim.weight_decay] = 0.1 (default)"});
}

TEST(Experiment, CudaIsRefusedBeforeAnythingRuns) {
  expect_error("[train]\ndevice = \"cuda\"\n", {"[train.device] = \"cuda\" (s.toml:2)", "--device cpu"});
}

TEST(Experiment, ChangedDataIsRefused) {
  Experiment e = resolved("");
  EXPECT_THROW(resolve(e, {DataKind::kSynthetic, 256, "other"}, false), InputError);
  Experiment small = from("[data]\nvocab = 100\n");
  EXPECT_THROW(resolve(small, {DataKind::kSynthetic, 256, "f00d"}, false), InputError);
}

TEST(Schema, EveryFieldSaysWhatItIs) {
  std::set<std::string> paths;
  for (const FieldDoc& field : describe<Experiment>()) {
    EXPECT_TRUE(paths.insert(field.path).second) << field.path;
    EXPECT_GT(field.doc.size(), 3u) << field.path;
    EXPECT_FALSE(field.type.empty()) << field.path;
  }
  EXPECT_TRUE(paths.count("optim.lr"));
  EXPECT_TRUE(paths.count("data.synthetic.zipf"));
}

TEST(Experiment, AChangeMustBeOneAndLieInTheRun) {
  expect_error("[change]\nat = \"40step\"\n", {"[change.at] = 40step (s.toml:2) changes nothing"});
  expect_error("[change]\nlr_factor = 2.0\n", {"[change.at] = 100% (default) must come before the end"});
  expect_error("[change]\nlr_factor = 2.0\nat = \"40step\"\nuntil = \"40step\"\n",
               {"[change.until] = 40step (s.toml:4) must come after [change.at] = 40step (s.toml:3)"});
  expect_error("[change]\nat = 5\neps_factor = 2.0\n[optim]\nalgorithm = \"sgd\"\n",
               {"[change.eps_factor] = 2 (s.toml:3)", "\"sgd\" (s.toml:5), which has no epsilon"});
  const Changes changes = changes_of(resolved("[change]\nlr_factor = 2.0\nat = \"40step\"\n"));
  EXPECT_TRUE(changes.any());
  EXPECT_EQ(changes.first, 41);
  EXPECT_EQ(changes.last, 300);
  EXPECT_EQ(changes.at(40).lr_factor, 1);
  EXPECT_EQ(changes.at(41).lr_factor, 2);
  EXPECT_FALSE(changes_of(resolved("")).any());
  EXPECT_FALSE(changes_of(resolved("[change]\nlr_factor = 2.0\nat = \"100%\"\n")).any());
}

TEST(Experiment, OneTreatmentPerWeight) {
  expect_error("[interventions]\nsigma_reparam = \"on\"\nweight_norm = true\n",
               {"[interventions.weight_norm] = true (s.toml:3) contradicts", "\"on\" (s.toml:2)"});
}

TEST(Experiment, TreatmentsThatUndoEachOtherAreRefused) {
  const std::string full = "[interventions]\nmu_param = \"full\"\n",
                    clip = "[interventions]\nqk_clip = 100\n";
  for (const char* other :
       {"attention_scale = \"width\"", "sigma_reparam = \"on\"", "weight_norm = true", "kappa = 10"})
    expect_error(
        full + other + "\n",
        {"[interventions.mu_param] = \"full\" (s.toml:2) contradicts [interventions.", "(s.toml:3)"});
  for (const char* other :
       {"qk_norm = \"per_head\"", "sigma_reparam = \"spectral_norm\"", "weight_norm = true", "kappa = 10"})
    expect_error(clip + other + "\n",
                 {"[interventions.qk_clip] = 100 (s.toml:2) contradicts [interventions.", "(s.toml:3)"});
  expect_error("[interventions]\nqk_norm = \"per_head\"\nkappa = 10\n",
               {"[interventions.kappa] = 10 (s.toml:3) contradicts [interventions.qk_norm] = \"per_head\" "
                "(s.toml:2)"});
  const std::string squared = "attention_function = \"squared_relu\"\n";
  expect_error("[interventions]\nattention_sink = \"learnable\"\n" + squared,
               {"[interventions.attention_sink] = \"learnable\" (s.toml:2) contradicts "
                "[interventions.attention_function] = \"squared_relu\" (s.toml:3)"});
  expect_error(full + squared, {"[interventions.mu_param] = \"full\" (s.toml:2) contradicts "
                                "[interventions.attention_function] = \"squared_relu\" (s.toml:3)"});
  for (const std::string sink : {"off_by_one", "learnable"})
    from(clip + "attention_sink = \"" + sink + "\"\n");
  from(clip + squared);
  for (const char* allowed : {"sigma_reparam = \"stats_only\"", "attention_scale = \"width\""})
    from(clip + allowed + "\n");
}

// Fields that came later stand in the identity only where they are used, so that runs from before keep
// theirs.
TEST(Experiment, AFieldThatIsAddedChangesNoOlderHash) {
  EXPECT_EQ(config_hash(resolved("[data]\npath = \"a.txt\"\n")), "8cd88ae85c239113");
  const std::string base = config_hash(resolved(""));
  EXPECT_EQ(config_hash(resolved("[interventions]\nkappa = 0\n[interventions.mu]\nbase_width = 64\n")), base);
  EXPECT_EQ(config_hash(resolved("[interventions]\nattention_sink = \"off\"\nattention_function = "
                                 "\"softmax\"\n")),
            base);
  EXPECT_NE(config_hash(resolved("[interventions]\nattention_sink = \"off_by_one\"\n")), base);
  EXPECT_NE(config_hash(resolved("[interventions]\nattention_function = \"squared_relu\"\n")), base);
  EXPECT_NE(config_hash(resolved("[interventions]\nkappa = 1\n")), base);
  EXPECT_NE(config_hash(resolved("[interventions.mu]\nbase_width = 32\n")), base);
  EXPECT_NE(config_hash(resolved("[optim]\ncooldown = \"10%\"\n")), base);
}

TEST(Experiment, Seq2SeqHasDefaultsOfItsOwn) {
  const Experiment e = from("[arch]\nfamily = \"seq2seq\"\n");
  EXPECT_EQ(e.arch.residual, ResidualScheme::kPostLn);
  EXPECT_EQ(e.arch.activation, ActivationKind::kRelu);
  EXPECT_EQ(e.arch.init, MatrixInit::kXavier);
  EXPECT_TRUE(e.arch.bias);
  EXPECT_EQ(e.interventions.z_loss, 0);
  EXPECT_EQ(e.arch.decoder_depth, e.arch.depth);
  EXPECT_EQ(e.data.kind, DataKind::kSyntheticPairs);
  EXPECT_EQ(e.tokens_per_step(), 4096);
  EXPECT_EQ(from("[arch]\nfamily = \"seq2seq\"\nresidual = \"pre_ln\"\n").arch.residual,
            ResidualScheme::kPreLn);
  EXPECT_EQ(e.arch.decoder_residual, ResidualScheme::kPostLn);
  EXPECT_EQ(e.arch.scheme_text(), "post_ln");
  const ArchSpec hybrid = from("[arch]\nfamily = \"seq2seq\"\ndecoder_residual = \"pre_ln\"\n").arch;
  EXPECT_EQ(hybrid.residual, ResidualScheme::kPostLn);
  EXPECT_EQ(hybrid.decoder_scheme(), ResidualScheme::kPreLn);
  EXPECT_EQ(hybrid.scheme_text(), "post_ln/pre_ln");
  expect_error("[arch]\nfamily = \"seq2seq\"\nwidth = 32\nheads = 2\ndepth = 0\n",
               {"[arch.depth] must be at least 1 for seq2seq, got 0"});
  expect_error("[arch]\ndecoder_residual = \"pre_ln\"\n", {"[arch.decoder_residual]", "belongs to seq2seq"});
  expect_error("[arch]\nfamily = \"seq2seq\"\n[data]\nbatch_tokens = 64\n",
               {"[data.batch_tokens] = 64", "[arch.context] = 128"});
  expect_error("[arch]\ndecoder_depth = 2\n", {"[arch.decoder_depth]", "belongs to seq2seq"});
  // What the data turn out to be must fit the family.
  Experiment text = from("");
  EXPECT_THROW(resolve(text, {DataKind::kPairs, 100, "x"}, false), InputError);
}

TEST(Precision, FastBf16IsWhatTheKernelsMayUse) {
  // Where EVENKEEL_ISA or a test forbids the instructions, precision = "auto" must not choose bf16: it would
  // be computed without them.
  test::with_each_instruction_set(
      [] { EXPECT_EQ(machine_has_fast_bf16(), kernels::isa() >= kernels::Isa::kAvx512Bf16); });
}

}  // namespace
}  // namespace evenkeel
