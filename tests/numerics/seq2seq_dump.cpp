// Writes what one small encoder-decoder computes, for comparison with an independently written twin
// (seq2seq_twin_test.py).
//
//   seq2seq_dump FOLDER RESIDUAL SMOOTHING DTYPE OPS
//
// Files as model_dump writes them (dump.h). Arrays: sources, inputs, targets (-1 where there is none),
// source_lengths, lengths, logits, param/<name> and grad/<name>.
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <cstdio>
#include <exception>
#include <string>

#include "evenkeel/train/build_model.h"
#include "evenkeel/train/evaluate.h"
#include "tests/numerics/dump.h"
#include "tests/support/small_model.h"
#include "tests/support/small_pairs.h"

namespace {

using namespace evenkeel;

void run(char** argv) {
  Experiment e = test::small_pair_experiment(24, 2, 3, 3, 31);
  e.arch.residual = test::by_name<ResidualScheme>(argv[2]);
  e.train.label_smoothing = std::stod(argv[3]);
  e.train.ops = test::by_name<OpPath>(argv[5]);
  const auto model = train::build_model(e);
  if (std::string(argv[4]) == "float64") model->convert(at::kDouble);
  test::perturb_gains_and_biases(*model);

  test::Dump dump;
  const models::Batch batch = test::random_pairs(e, {4, 9, 1, 6}, {5, 3, 8, 1}, 4);
  dump.add("sources", batch.sources);
  dump.add("inputs", batch.inputs);
  dump.add("targets", batch.targets);
  dump.add("source_lengths", batch.source_lengths);
  dump.add("lengths", batch.lengths);
  for (const nn::Param* p : model->parameters()) dump.add("param/" + p->name, p->value);
  const nn::Context context{.training = true, .ops = e.train.ops};
  const at::Tensor logits = model->forward(batch, context);
  dump.add("logits", logits);  // before the loss, which may turn them into their gradient
  const ops::Loss loss = model->loss(logits, batch, model->objective, context);
  loss.total.backward();
  for (const nn::Param* p : model->parameters()) dump.add("grad/" + p->name, p->value.grad());
  dump.write(argv[1], {{"residual", argv[2]},
                       {"smoothing", e.train.label_smoothing},
                       {"width", 24},
                       {"encoder_depth", 2},
                       {"decoder_depth", 3},
                       {"heads", 3},
                       {"eps", e.arch.norm_eps},
                       {"ce", loss.ce}});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fputs("usage: seq2seq_dump FOLDER RESIDUAL SMOOTHING DTYPE OPS\n", stderr);
    return 2;
  }
  try {
    run(argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "seq2seq_dump: %s\n", error.what());
    return 1;
  }
  return 0;
}
