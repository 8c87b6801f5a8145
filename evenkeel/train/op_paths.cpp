#include "evenkeel/train/op_paths.h"

#include "evenkeel/kernels/isa.h"
#include "evenkeel/kernels/tile.h"
#include "evenkeel/train/evaluate.h"

namespace evenkeel::train {

Json op_paths(models::Model& model, const TrainSpec& train, const std::vector<nn::OpUse>& optimiser) {
  const nn::Context context = pass_context(train);
  Json each = Json::object();
  bool thread_invariant = true;
  const auto add = [&](const nn::OpUse& use) {
    if (!use.thread_invariant) thread_invariant = false;
    if (each.contains(use.op) && use.path == OpPath::kFused) return;
    each[use.op] = {{"path", enum_name(use.path)}, {"why", use.why}};
  };
  model.visit([&](nn::Module& module) {
    for (const nn::OpUse& use : module.op_uses(context)) add(use);
  });
  add(context.use("cross_entropy", context.storage()));
  for (const nn::OpUse& use : optimiser) add(use);
  Json all{{"path", enum_name(train.ops)},
           {"isa", kernels::isa_name(kernels::isa())},
           {"thread_invariant", thread_invariant},
           {"each", each}};
  if (context.fused())
    all["tile"] = context.storage() == at::kBFloat16 ? kernels::tile<kernels::bf16>().name
                                                     : kernels::tile<float>().name;
  return all;
}

}  // namespace evenkeel::train
