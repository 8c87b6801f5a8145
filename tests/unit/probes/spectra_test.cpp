#include "evenkeel/probes/spectra.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_svdvals.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "evenkeel/train/build_model.h"
#include "tests/support/small_model.h"

namespace evenkeel::probes {
namespace {

TEST(SpectraProbe, SingularValuesAndStableRanksAreThoseOfLapack) {
  const c10::AutoGradMode no_grad(false);
  const Experiment e = test::small_experiment(16, 1, 2, 8, 11);
  Subject subject;
  subject.experiment = e;
  subject.model = train::build_model(e);
  subject.model->convert(at::kDouble);
  subject.context.ops = OpPath::kPlain;
  const auto [inputs, targets] = test::random_batch(e, 3, 1);
  subject.batch = {inputs, targets};
  const Json answer = spectra_probe().measure(subject, {});
  std::size_t matrices = 0;
  for (const nn::Param* p : subject.model->parameters()) {
    for (const Json& entry : answer["matrices"]) {
      if (entry["parameter"] != p->name) continue;
      ++matrices;
      const at::Tensor singular = at::linalg_svdvals(p->value);
      // The residual is at most 1e-8, so rounding of both is all that is left.
      EXPECT_NEAR(entry["sigma"].get<double>() / singular.max().item<double>(), 1, 1e-12);
      const double rank = (singular.square().sum() / singular.max().square()).item<double>();
      EXPECT_NEAR(entry["stable_rank"].get<double>() / rank, 1, 1e-12);
    }
  }
  EXPECT_EQ(matrices, 8u) << "q, k, v, o, fc1, fc2, head and embedding";
  EXPECT_EQ(answer["attention"][0]["heads"].size(), 2u);
}

TEST(SpectraProbe, AZeroMatrixHasNoStableRank) {
  const c10::AutoGradMode no_grad(false);
  const Experiment e = test::small_experiment(8, 0, 2, 8, 11);
  Subject subject;
  subject.experiment = e;
  subject.model = train::build_model(e);
  subject.model->convert(at::kDouble);
  subject.context.ops = OpPath::kPlain;
  const auto [inputs, targets] = test::random_batch(e, 1, 1);
  subject.batch = {inputs, targets};
  for (const nn::Param* p : subject.model->parameters())
    if (p->name == "head.weight") p->value.zero_();
  const Json answer = spectra_probe().measure(subject, {});
  EXPECT_EQ(answer["matrices"][0]["sigma"], 0.0);
  EXPECT_TRUE(answer["matrices"][0]["stable_rank"].is_null());
  EXPECT_EQ(answer["matrices"][0]["why"], "a zero matrix");
}

}  // namespace
}  // namespace evenkeel::probes
