// Writes what one small model computes, for comparison with an independently written twin
// (torch_twin_test.py).
//
//   model_dump FOLDER QK_NORM BIAS Z_LOSS DTYPE DECAY_FORM ACTIVATION OPS
//
// Files as in dump.h. Arrays: tokens, targets, logits, param/<name>, grad/<name>
// (before clipping) and after/<name> (after the optimiser steps listed under "steps").
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <cstdio>
#include <exception>
#include <string>

#include "evenkeel/ops/cross_entropy.h"
#include "evenkeel/optim/clip.h"
#include "evenkeel/optim/optimiser.h"
#include "evenkeel/optim/schedule.h"
#include "evenkeel/train/build_model.h"
#include "tests/numerics/dump.h"
#include "tests/support/small_model.h"

namespace {

using namespace evenkeel;

void run(char** argv) {
  Experiment e = test::small_experiment(24, 2, 3, 20, 41);
  e.interventions.qk_norm = test::by_name<QkNorm>(argv[2]);
  e.arch.bias = std::string(argv[3]) == "true";
  e.interventions.z_loss = std::stod(argv[4]);
  e.arch.activation = test::by_name<ActivationKind>(argv[7]);
  e.train.ops = test::by_name<OpPath>(argv[8]);
  e.optim.decay_form = test::by_name<DecayForm>(argv[6]);
  e.optim.weight_decay = 0.3;
  e.optim.lr = 0.02;
  const auto model = train::build_model(e);
  if (std::string(argv[5]) == "float64") model->convert(at::kDouble);
  test::perturb_gains_and_biases(*model);

  test::Dump dump;
  const auto params = model->parameters();
  const auto [inputs, targets] = test::random_batch(e, 3, 9);
  dump.add("tokens", inputs);
  dump.add("targets", targets);
  for (const nn::Param* p : params) dump.add("param/" + p->name, p->value);

  const auto optimiser = optim::make_optimiser(params, e.optim);
  const optim::Schedule schedule(e);
  Json steps = Json::array();
  for (std::int64_t n = 1; n <= 6; ++n) {
    const nn::Context context{.training = true, .step = n - 1, .ops = e.train.ops};
    const at::Tensor logits = model->forward(inputs, context);
    if (n == 1) dump.add("logits", logits);  // before the loss, which may turn them into their gradient
    const double z = model->objective.z_coefficient;
    const ops::Loss loss = context.fused() ? ops::cross_entropy_(logits, targets, {z, 0, {}})
                                           : ops::cross_entropy_plain(logits, targets, {z});
    loss.total.backward();
    if (n == 1) {
      for (const nn::Param* p : params) dump.add("grad/" + p->name, p->value.grad());
    }
    const optim::ClipResult clip = optim::measure_clip(params, 0.5);
    const double rate = schedule.rate(n);
    steps.push_back(
        {{"ce", loss.ce}, {"z", loss.z}, {"mean_log_z", loss.mean_log_z}, {"norm", clip.norm}, {"lr", rate}});
    optimiser->step(rate, nullptr, clip.factor);
    optimiser->zero_grad();
  }
  for (const nn::Param* p : params) dump.add("after/" + p->name, p->value);

  dump.write(argv[1], {{"qk_norm", argv[2]},
                       {"bias", e.arch.bias},
                       {"z_loss", e.interventions.z_loss},
                       {"decay_form", argv[6]},
                       {"activation", argv[7]},
                       {"weight_decay", 0.3},
                       {"lr", 0.02},
                       {"clip_norm", 0.5},
                       {"width", 24},
                       {"depth", 2},
                       {"heads", 3},
                       {"eps", e.arch.norm_eps},
                       {"rope_base", e.arch.rope_base},
                       {"betas", {e.optim.beta1, e.optim.beta2}},
                       {"adam_eps", e.optim.eps},
                       {"steps", steps}});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 9) {
    std::fputs("usage: model_dump FOLDER QK_NORM BIAS Z_LOSS DTYPE DECAY_FORM ACTIVATION OPS\n", stderr);
    return 2;
  }
  try {
    run(argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "model_dump: %s\n", error.what());
    return 1;
  }
  return 0;
}
