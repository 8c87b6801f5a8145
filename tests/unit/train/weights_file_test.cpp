#include "evenkeel/train/weights_file.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "evenkeel/base/error.h"
#include "evenkeel/runs/safetensors.h"
#include "evenkeel/train/build_model.h"
#include "evenkeel/train/evaluate.h"
#include "evenkeel/train/state.h"
#include "tests/support/small_model.h"
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
  return all;
}

Experiment plain(Experiment e) {
  e.interventions.sigma_reparam = SigmaReparam::kOff;
  e.interventions.weight_norm = false;
  return e;
}

// C11 of sigma-reparam's checks.
TEST(WeightsFile, FoldedWeightsMakeThePlainModelComputeTheSame) {
  const c10::AutoGradMode no_grad(false);
  const test::TempFolder folder;
  const fs::path file = folder.path() / "m.safetensors";
  for (const Experiment& e : treated()) {
    const auto model = build_model(e);
    const auto [inputs, targets] = test::random_batch(e, 2, 3);
    const nn::Context context = pass_context(e.train);
    const Weights folded = folded_weights(*model, context);
    write(file, folded);
    const auto bare = build_model(plain(e));
    import_weights(file, *bare);
    EXPECT_LT((bare->forward(inputs, context) - model->forward(inputs, context)).abs().max().item<double>(), 1e-6);
    // Folding what is folded changes nothing.
    for (const auto& [name, weight] : folded_weights(*bare, context)) EXPECT_TRUE(weight.equal(folded.at(name)));
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
  EXPECT_NE(complaint(bad).find("tensor head.weight of shape [32], this model's is [37, 32]"), std::string::npos);
}

}  // namespace
}  // namespace evenkeel::train
