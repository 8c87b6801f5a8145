#include "evenkeel/train/state.h"

#include <fmt/format.h>

#include <cstring>

#include "evenkeel/base/error.h"

namespace evenkeel::train {
namespace {

runs::TensorBytes bytes_of(const std::string& name, const at::Tensor& tensor) {
  return {name,
          runs::TensorType::kF32,
          tensor.sizes().vec(),
          {static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()}};
}

void load(const std::filesystem::path& checkpoint, const char* file, const runs::Safetensors& saved,
          const std::vector<std::pair<std::string, at::Tensor>>& into) {
  const auto where = (checkpoint / file).string();
  for (const auto& [name, tensor] : into) {
    const auto it = saved.tensors.find(name);
    if (it == saved.tensors.end()) {
      throw InputError(fmt::format("{} lacks tensor {}; it belongs to another model", where, name));
    }
    if (it->second.type != runs::TensorType::kF32 || it->second.shape != tensor.sizes().vec()) {
      throw InputError(fmt::format("{} holds tensor {} in another shape or type; it belongs to another model",
                                   where, name));
    }
    std::memcpy(tensor.data_ptr(), it->second.data.data(), it->second.data.size());
  }
  if (saved.tensors.size() != into.size()) {
    throw InputError(fmt::format("{} holds {} tensors, expected {}; it belongs to another model", where,
                                 saved.tensors.size(), into.size()));
  }
}

}  // namespace

std::vector<runs::TensorBytes> model_bytes(nn::Module& model) {
  std::vector<runs::TensorBytes> all;
  for (const nn::Param* p : model.parameters()) all.push_back(bytes_of(p->name, p->value));
  for (const nn::Buffer* b : model.buffers()) all.push_back(bytes_of(b->name, b->value));
  return all;
}

std::vector<runs::TensorBytes> optim_bytes(const optim::Optimiser& optimiser) {
  return tensor_bytes(optimiser.state());
}

std::vector<runs::TensorBytes> tensor_bytes(const std::vector<std::pair<std::string, at::Tensor>>& named) {
  std::vector<runs::TensorBytes> all;
  for (const auto& [name, tensor] : named) all.push_back(bytes_of(name, tensor));
  return all;
}

void load_model(const std::filesystem::path& checkpoint, nn::Module& model) {
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (const nn::Param* p : model.parameters()) named.emplace_back(p->name, p->value);
  for (const nn::Buffer* b : model.buffers()) named.emplace_back(b->name, b->value);
  load(checkpoint, "model.safetensors", runs::read_model(checkpoint), named);
}

void load_state(const std::filesystem::path& checkpoint, nn::Module& model, optim::Optimiser& optimiser) {
  load_model(checkpoint, model);
  load_optimiser(checkpoint, optimiser);
}

void load_optimiser(const std::filesystem::path& checkpoint, optim::Optimiser& optimiser) {
  load(checkpoint, "optim.safetensors", runs::read_optim(checkpoint), optimiser.state());
}

bool load_telemetry(const std::filesystem::path& checkpoint,
                    const std::vector<std::pair<std::string, at::Tensor>>& named) {
  const auto saved = runs::read_telemetry(checkpoint);
  if (saved) load(checkpoint, "telemetry.safetensors", *saved, named);
  return saved.has_value();
}

}  // namespace evenkeel::train
