// Arrays and numbers of a model in a folder, for twins written in Python: data.bin holds float64 arrays back
// to back; index.json gives the configuration, numbers, and for each array "shape" and "start" (in values).
#pragma once

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <stdexcept>
#include <string>

#include "evenkeel/base/files.h"
#include "evenkeel/base/json.h"
#include "evenkeel/config/field.h"
#include "evenkeel/models/model.h"
#include "tests/support/small_model.h"

namespace evenkeel::test {

class Dump {
 public:
  void add(const std::string& name, const at::Tensor& tensor) {
    const at::Tensor wide = tensor.detach().to(at::kDouble).contiguous();
    arrays_[name] = {{"shape", wide.sizes().vec()}, {"start", data_.size() / sizeof(double)}};
    data_.append(static_cast<const char*>(wide.data_ptr()),
                 static_cast<std::size_t>(wide.numel()) * sizeof(double));
  }
  void write(const fs::path& folder, Json index) const {
    index["arrays"] = arrays_;
    make_folder(folder);
    write_file(folder / "data.bin", data_);
    write_json(folder / "index.json", index);
  }

 private:
  Json arrays_;
  std::string data_;
};

template <class E>
E by_name(const std::string& text) {
  for (const auto& [value, name] : EnumNames<E>::names)
    if (text == name) return value;
  throw std::runtime_error("unknown name " + text);
}

/// Gains and biases start at 1 and 0, where a mistake in their use could hide.
inline void perturb_gains_and_biases(models::Model& model) {
  c10::AutoGradMode no_grad(false);
  std::uint64_t seed = 50;
  for (const nn::Param* p : model.parameters())
    if (!p->is_matrix())
      p->value.add_(random_normal(p->value.sizes().vec(), seed++, p->value.scalar_type()) * 0.3);
}

}  // namespace evenkeel::test
