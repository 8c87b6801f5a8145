// Parameters alone, as an optimiser sees them, and those of a model by name.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "evenkeel/models/model.h"
#include "evenkeel/nn/module.h"
#include "tests/support/small_model.h"

namespace evenkeel::test {

inline nn::Param make_param(at::Tensor value, nn::Role role = nn::Role::kMatrix) {
  nn::Param param;
  param.name = std::string(1, 'w');  // GCC 12 takes assigning the literal for an overlapping copy
  param.role = role;
  param.value = std::move(value);
  param.value.set_requires_grad(true);
  return param;
}

/// Vectors of these sizes with gradients, but for the second, which has none.
struct Several {
  explicit Several(const std::vector<std::int64_t>& sizes, at::ScalarType type = at::kFloat) {
    std::uint64_t seed = 0;
    for (const std::int64_t n : sizes) {
      params.push_back(make_param(random_normal({n}, ++seed, type)));
      if (seed != 2) params.back().value.mutable_grad() = random_normal({n}, 100 + seed, type);
    }
  }
  std::vector<nn::Param*> pointers() {
    std::vector<nn::Param*> all;
    for (nn::Param& param : params) all.push_back(&param);
    return all;
  }
  bool equals(const Several& other) const {
    for (std::size_t i = 0; i < params.size(); ++i)
      if (!params[i].value.detach().equal(other.params[i].value.detach())) return false;
    return true;
  }
  std::vector<nn::Param> params;
};

inline at::Tensor value_of(models::Model& model, const std::string& name) {
  for (const nn::Param* p : model.parameters())
    if (p->name == name) return p->value.detach();
  throw std::logic_error(name);
}

}  // namespace evenkeel::test
