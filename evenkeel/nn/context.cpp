#include "evenkeel/nn/context.h"

#include "evenkeel/ops/storage.h"

namespace evenkeel::nn {

OpUse Context::use(std::string op, c10::ScalarType type) const {
  if (!fused()) return {std::move(op), OpPath::kPlain, "train.ops is plain", false};
  if (!ops::has_kernels(type))
    return {std::move(op), OpPath::kPlain, std::string("no kernels for ") + c10::toString(type), false};
  return {std::move(op), OpPath::kFused,
          std::string("kernels for ") + (storage() == at::kBFloat16 ? "bf16" : "fp32"), true};
}

}  // namespace evenkeel::nn
