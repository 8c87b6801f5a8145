#include "evenkeel/train/weights_file.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "evenkeel/base/error.h"
#include "evenkeel/runs/safetensors.h"
#include "evenkeel/train/build_model.h"
#include "evenkeel/train/evaluate.h"
#include "evenkeel/train/state.h"
#include "tests/support/parameters.h"
#include "tests/support/small_model.h"
#include "tests/support/small_pairs.h"
#include "tests/support/temp_folder.h"

namespace evenkeel::train {
namespace {

using Weights = std::map<std::string, at::Tensor>;

void write(const fs::path& file, const Weights& weights) {
  std::vector<runs::TensorBytes> tensors;
  for (const auto& [name, t] : weights)
    tensors.push_back({name,
                       runs::TensorType::kF32,
                       t.sizes().vec(),
                       {static_cast<const char*>(t.data_ptr()), t.nbytes()}});
  runs::write_safetensors(file, tensors);
}

std::vector<Experiment> treated() {
  std::vector<Experiment> all;
  for (const SigmaQkv qkv : {SigmaQkv::kFused, SigmaQkv::kPerHead}) {
    Experiment e = test::small_experiment();
    e.arch.bias = true;
    e.interventions.sigma_reparam = SigmaReparam::kOn;
    e.interventions.sigma.qkv = qkv;
    e.interventions.qk_norm = QkNorm::kPerHead;
    all.push_back(e);
  }
  all.push_back(test::small_experiment());
  all.back().interventions.sigma_reparam = SigmaReparam::kSpectralNorm;
  all.push_back(test::small_experiment());
  all.back().interventions.weight_norm = true;
  for (const AdminOmega omega : {AdminOmega::kVector, AdminOmega::kFrozen, AdminOmega::kScalar}) {
    Experiment e = test::small_experiment(32, 3);
    e.arch.residual = ResidualScheme::kAdmin;
    e.arch.admin.omega = omega;
    e.arch.bias = omega == AdminOmega::kVector;
    if (omega == AdminOmega::kVector) e.interventions.sigma_reparam = SigmaReparam::kOn;
    all.push_back(e);
    Experiment pairs = test::small_pair_experiment(32, 3, 3, 4);
    pairs.arch.residual = ResidualScheme::kAdmin;
    pairs.arch.admin.omega = omega;
    all.push_back(pairs);
  }
  // One stack of Admin beside one without.
  all.push_back(test::small_pair_experiment(32, 3, 3, 4));
  all.back().arch.residual = ResidualScheme::kAdmin;
  all.back().arch.decoder_residual = ResidualScheme::kPreLn;
  all.push_back(test::small_pair_experiment(32, 3, 3, 4));
  all.back().arch.decoder_residual = ResidualScheme::kAdmin;
  return all;
}

/// Of sentence pairs with padding on both sides.
models::Batch batch_of(const Experiment& e) {
  if (e.arch.family == Family::kSeq2Seq) return test::random_pairs(e, {4, 9, 1, 6}, {5, 3, 8, 1}, 4, 11, 10);
  return {test::random_batch(e, 2, 3).first};
}

Experiment plain(Experiment e) {
  e.interventions.sigma_reparam = SigmaReparam::kOff;
  e.interventions.weight_norm = false;
  if (e.arch.residual == ResidualScheme::kAdmin) e.arch.residual = ResidualScheme::kPostLn;
  if (e.arch.decoder_residual == ResidualScheme::kAdmin) e.arch.decoder_residual = ResidualScheme::kPostLn;
  return e;
}

/// What a treated model can be folded into.
Experiment folded_into(const Experiment& e) {
  Experiment bare = plain(e);
  bare.arch.embedding_scale = e.arch.family == Family::kSeq2Seq;
  return bare;
}

/// Gains, biases and omegas as after some training: of order one, omegas in [0.5, 2.5].
void perturb(models::Model& model) {
  std::uint64_t seed = 70;
  const auto move = [&](const std::string& name, at::Tensor value) {
    const at::Tensor noise = test::random_normal(value.sizes().vec(), seed++, value.scalar_type());
    if (name.find("_omega") != std::string::npos) value.copy_(1.5 + noise.tanh());
    else if (name.find("gain") != std::string::npos || name.find("bias") != std::string::npos)
      value.add_(noise * 0.3);
  };
  for (const nn::Param* p : model.parameters()) move(p->name, p->value);
  for (const nn::Buffer* b : model.buffers()) move(b->name, b->value);
}

// C11 of sigma-reparam's checks.
TEST(WeightsFile, FoldedWeightsMakeThePlainModelComputeTheSame) {
  const c10::AutoGradMode no_grad(false);
  const test::TempFolder folder;
  const fs::path file = folder.path() / "m.safetensors";
  for (const Experiment& e : treated()) {
    const auto model = build_model(e);
    if (e.arch.has_scheme(ResidualScheme::kAdmin)) perturb(*model);
    const models::Batch batch = batch_of(e);
    const nn::Context context = pass_context(e.train);
    const Weights folded = folded_weights(*model, context);
    write(file, folded);
    const auto bare = build_model(folded_into(e));
    import_weights(file, *bare);
    // Of logits of order one; Admin's sums are up to six times the size and its matrices divided.
    const at::Tensor logits = model->forward(batch, context);
    EXPECT_LT(((bare->forward(batch, context) - logits).abs().max() / logits.abs().max()).item<double>(),
              e.arch.has_scheme(ResidualScheme::kAdmin) ? 3e-6 : 1e-6);
    // Folding what is folded changes nothing.
    for (const auto& [name, weight] : folded_weights(*bare, context))
      EXPECT_TRUE(weight.equal(folded.at(name)));
  }
}

TEST(WeightsFile, PlainWeightsInATreatedModelKeepTheirFunction) {
  const c10::AutoGradMode no_grad(false);
  const test::TempFolder folder;
  const fs::path file = folder.path() / "m.safetensors";
  for (Experiment e : treated()) {
    e.train.seed = 5;
    const auto bare = build_model(plain(e));
    const Weights weights = folded_weights(*bare, {});
    write(file, weights);
    e.train.seed = 6;
    const auto model = build_model(e);
    import_weights(file, *model);
    for (const auto& [name, weight] : folded_weights(*model, {}))
      EXPECT_LT((weight - weights.at(name)).abs().max().item<double>(), 1e-6) << name;
  }
}

// Check 11 of Admin's in double, where nothing but the algebra is left.
TEST(WeightsFile, FoldingOmegaIsExact) {
  const c10::AutoGradMode no_grad(false);
  for (const Experiment& e : treated()) {
    if (!e.arch.has_scheme(ResidualScheme::kAdmin) || e.interventions.sigma_reparam != SigmaReparam::kOff)
      continue;
    const auto model = build_model(e), bare = build_model(folded_into(e));
    perturb(*model);
    model->convert(at::kDouble);
    bare->convert(at::kDouble);
    const Weights folded = folded_weights(*model, {});
    EXPECT_EQ(folded.size(), bare->parameters().size()) << "no omega is left";
    for (const nn::Param* p : bare->parameters()) p->value.copy_(folded.at(p->name));
    const models::Batch batch = batch_of(e);
    EXPECT_LT((bare->forward(batch, {}) - model->forward(batch, {})).abs().max().item<double>(), 1e-12);
  }
}

// The table stays tied: what the first omega would do to it is a tensor of its own, and only where needed.
TEST(WeightsFile, TheFirstOmegaOfAStackBecomesItsEmbeddingScale) {
  const c10::AutoGradMode no_grad(false);
  const test::TempFolder folder;
  const fs::path file = folder.path() / "m.safetensors";
  Experiment e = test::small_pair_experiment();
  e.arch.residual = ResidualScheme::kAdmin;
  const auto model = build_model(e);
  const at::Tensor table = test::value_of(*model, "embed.weight");
  test::value_of(*model, "decoder.layers.0.mlp_omega").fill_(2);
  const Weights plain_ones = folded_weights(*model, {});
  EXPECT_EQ(plain_ones.count("encoder.embed_scale.gain"), 0u) << "every first omega is 1";
  write(file, plain_ones);
  import_weights(file, *build_model(plain(e)));
  import_weights(file, *build_model(folded_into(e)));

  const at::Tensor first = test::value_of(*model, "encoder.layers.0.attn_omega");
  first.copy_(1 + test::random_normal({16}, 1, at::kFloat).square());
  const Weights folded = folded_weights(*model, {});
  EXPECT_TRUE(folded.at("embed.weight").equal(table));
  EXPECT_TRUE(folded.at("encoder.embed_scale.gain").equal(first));
  EXPECT_TRUE(folded.at("decoder.embed_scale.gain").eq(1).all().item<bool>());
  write(file, folded);
  try {
    import_weights(file, *build_model(plain(e)));
    FAIL();
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("arch.embedding_scale=true"), std::string::npos) << error.what();
  }
}

TEST(WeightsFile, AnOmegaNearZeroIsNotFolded) {
  for (const auto& [experiment, name] :
       {std::pair{test::small_experiment(), "blocks.1.mlp_omega"},
        std::pair{test::small_pair_experiment(), "decoder.layers.1.cross_omega"}}) {
    Experiment e = experiment;
    e.arch.residual = ResidualScheme::kAdmin;
    const auto model = build_model(e);
    test::value_of(*model, name)[3] = 1e-7;
    try {
      folded_weights(*model, {});
      FAIL();
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(std::string(name) + " holds a value of size 1e-07"),
                std::string::npos)
          << error.what();
    }
  }
}

// A sink is a parameter that no fold takes away, as an output gate is: it goes along, is wanted where the
// model has it and has no place where it has not.
TEST(WeightsFile, ASinkGoesAlong) {
  const c10::AutoGradMode no_grad(false);
  const test::TempFolder folder;
  const fs::path file = folder.path() / "m.safetensors";
  for (Experiment e : {test::small_experiment(), test::small_pair_experiment()}) {
    e.interventions.attention_sink = AttentionSink::kLearnable;
    e.interventions.sigma_reparam = SigmaReparam::kOn;
    const auto model = build_model(e);
    for (const nn::Param* p : model->parameters())
      if (p->name.ends_with(".sink")) p->value.copy_(at::tensor({0.5, -1.5}, at::kFloat));
    const nn::Context context = pass_context(e.train);
    const Weights folded = folded_weights(*model, context);
    write(file, folded);
    const models::Batch batch = batch_of(e);
    const at::Tensor logits = model->forward(batch, context);
    for (const SigmaReparam into : {SigmaReparam::kOff, SigmaReparam::kOn}) {
      e.interventions.sigma_reparam = into;
      const auto other = build_model(e);
      import_weights(file, *other);
      EXPECT_LT((other->forward(batch, context) - logits).abs().max().item<double>(), 1e-5);
    }
    const auto complaint = [&](models::Model& to) {
      try {
        import_weights(file, to);
      } catch (const InputError& error) {
        return std::string(error.what());
      }
      return std::string();
    };
    e.interventions.sigma_reparam = SigmaReparam::kOff;
    const auto with = build_model(e);
    e.interventions.attention_sink = AttentionSink::kOff;
    const auto without = build_model(e);
    EXPECT_NE(complaint(*without).find("attn.sink the first; give this model the treatment"),
              std::string::npos)
        << complaint(*without);
    write(file, folded_weights(*without, context));
    EXPECT_NE(complaint(*with).find("lacks tensor"), std::string::npos) << complaint(*with);
  }
}

TEST(WeightsFile, WhatDoesNotFitIsNamed) {
  const test::TempFolder folder;
  const fs::path file = folder.path() / "m.safetensors";
  const auto model = build_model(test::small_experiment());
  const auto complaint = [&](const Weights& weights) {
    write(file, weights);
    try {
      import_weights(file, *model);
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const Weights whole = folded_weights(*model, {});
  EXPECT_EQ(complaint(whole), "");
  Weights bad = whole;
  bad.erase("head.weight");
  EXPECT_NE(complaint(bad).find("lacks tensor head.weight"), std::string::npos);
  bad = whole;
  bad["extra"] = whole.at("head.weight");
  EXPECT_NE(complaint(bad).find("no place for, extra the first"), std::string::npos);
  bad = whole;
  bad["head.weight"] = whole.at("final_norm.gain");
  EXPECT_NE(complaint(bad).find("tensor head.weight of shape [32], this model's is [37, 32]"),
            std::string::npos);
}

// A soft cap has no tensor, so the file says that its weights were trained with one.
TEST(WeightsFile, TreatmentsWithoutATensorMustAgree) {
  const test::TempFolder folder;
  const fs::path file = folder.path() / "m.safetensors";
  InterventionsSpec capped, bare;
  capped.attention_softcap = 50;
  const auto says = [&](const std::map<std::string, std::string>& metadata, const InterventionsSpec& own) {
    runs::write_safetensors(file, {}, metadata);
    try {
      require_same_function(file, own);
      return std::string();
    } catch (const InputError& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(says({}, capped), "") << "a file of others says nothing";
  EXPECT_EQ(says({{"interventions", R"({"attention_softcap": 50.0})"}}, capped), "");
  EXPECT_NE(says({{"interventions", R"({"attention_softcap": 50.0})"}}, bare)
                .find("--set interventions.attention_softcap=50"),
            std::string::npos);
  EXPECT_NE(says({{"interventions", "{}"}}, capped).find("interventions.attention_softcap"),
            std::string::npos);
  bare.mu_param = MuParam::kSimple;
  EXPECT_EQ(says({{"interventions", "{}"}}, bare), "") << "rates alone";
  EXPECT_NE(says({{"interventions", "[1]"}}, bare).find("expected an object"), std::string::npos);
  InterventionsSpec complete;
  complete.mu_param = MuParam::kCompleteP;
  complete.mu.base_width = 256;
  const std::string other = says({{"interventions", R"({"mu_param": "complete_p"})"}}, complete);
  EXPECT_NE(other.find("--set interventions.mu.base_width=64"), std::string::npos) << other;
}

// Two read the table: what only one of them is treated with has no place in it.
TEST(WeightsFile, RefusesToFoldIntoATableThatIsReadTwice) {
  const auto refusal = [](const Experiment& e) {
    try {
      folded_weights(*build_model(e), {});
      return std::string();
    } catch (const InputError& error) {
      return std::string(error.what());
    }
  };
  Experiment pairs = test::small_pair_experiment();
  EXPECT_EQ(refusal(pairs), "");
  pairs.interventions.sigma_reparam = SigmaReparam::kOn;
  EXPECT_EQ(refusal(pairs), "");
  pairs.interventions.sigma.tied_head = true;
  EXPECT_NE(refusal(pairs).find("embed.weight is read by"), std::string::npos) << refusal(pairs);
  pairs.interventions.sigma_reparam = SigmaReparam::kStatsOnly;
  EXPECT_EQ(refusal(pairs), "") << "the output uses the plain table too";
  Experiment tied = test::small_experiment();
  tied.arch.residual = ResidualScheme::kAdmin;
  EXPECT_EQ(refusal(tied), "");
  tied.arch.head = HeadForm::kTied;
  EXPECT_NE(refusal(tied).find("output's matrix too"), std::string::npos) << refusal(tied);
  tied.arch.head = HeadForm::kOwn;
  tied.interventions.embedding = EmbeddingForm::kNorm;
  EXPECT_NE(refusal(tied).find("rows are normed"), std::string::npos) << refusal(tied);
}

}  // namespace
}  // namespace evenkeel::train
