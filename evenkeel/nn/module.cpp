#include "evenkeel/nn/module.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <numbers>
#include <stdexcept>

#include "evenkeel/base/rng.h"
#include "evenkeel/nn/context.h"

namespace evenkeel::nn {
namespace {

constexpr double kTruncation = 2.0;
constexpr double kStdAfterTruncation = 0.87962566103423978;  // of a unit normal cut at 2 sigma

double draw(Rng& rng, const Param& param) {
  switch (param.init) {
    case Init::kNormal:
      return param.init_std * rng.normal();
    case Init::kTruncatedNormal:
      return param.init_std / kStdAfterTruncation * rng.truncated_normal(kTruncation);
    case Init::kUniform:
      return param.init_std * std::numbers::sqrt3 * (2 * rng.uniform() - 1);
    case Init::kConstant:
      return param.init_std;
    case Init::kOnes:
      return 1;
    case Init::kZeros:
      return 0;
  }
  return 0;
}

}  // namespace

Param& Module::add_param(std::string name, std::vector<std::int64_t> shape, Role role, Init init,
                         double init_std) {
  auto param = std::make_unique<Param>();
  param->name = std::move(name);
  param->value = at::zeros(shape, at::kFloat);
  param->value.set_requires_grad(true);
  param->role = role;
  param->init = init;
  param->init_std = init_std;
  param->fan_out = shape.front();
  param->fan_in = shape.back();
  params_.push_back(std::move(param));
  return *params_.back();
}

Buffer& Module::add_buffer(std::string name, at::Tensor value) {
  buffers_.push_back(std::make_unique<Buffer>(Buffer{std::move(name), std::move(value)}));
  return *buffers_.back();
}

std::vector<Buffer*> Module::buffers() {
  std::vector<Buffer*> all;
  visit([&](Module& module) {
    for (const auto& buffer : module.buffers_) all.push_back(buffer.get());
  });
  return all;
}

std::vector<Param*> Module::parameters() {
  std::vector<Param*> all;
  visit([&](Module& module) {
    for (const auto& param : module.params_) all.push_back(param.get());
  });
  return all;
}

std::int64_t Module::count() {
  std::int64_t n = 0;
  for (const Param* param : parameters()) n += param->value.numel();
  return n;
}

std::vector<OpUse> Module::op_uses(const Context&) const {
  return {};
}

void Module::visit(const std::function<void(Module&)>& visitor) {
  visitor(*this);
  for (const auto& [name, child] : children_) child->visit(visitor);
}

void Module::name_tree(const std::string& path) {
  path_ = path;
  const std::string prefix = path.empty() ? "" : path + ".";
  const auto rename = [&](std::string& name) { name = prefix + name.substr(name.rfind('.') + 1); };
  for (const auto& param : params_) rename(param->name);
  for (const auto& buffer : buffers_) rename(buffer->name);
  for (const auto& [name, child] : children_) child->name_tree(name.empty() ? path : prefix + name);
}

void Module::convert(const at::TensorOptions& options) {
  visit([&](Module& module) {
    for (const auto& param : module.params_) {
      param->value = param->value.detach().to(options).clone();
      param->value.set_requires_grad(param->trainable);
    }
    for (const auto& buffer : module.buffers_) buffer->value = buffer->value.to(options);
    module.convert_buffers(options);
  });
}

void require_free(const std::string& slot, const std::string& occupant, const std::string& newcomer) {
  if (occupant.empty()) return;
  throw std::logic_error("one slot holds one treatment, but " + slot + " have \"" + occupant +
                         "\" already and cannot take \"" + newcomer +
                         "\" too; apply one of the two, or compose them in a transform of their own");
}

void initialise(Module& root, std::uint64_t seed) {
  c10::AutoGradMode no_grad(false);
  root.name_tree();
  for (Param* param : root.parameters()) {
    Rng rng(seed, "init/" + param->name);
    std::vector<float> values(static_cast<std::size_t>(param->value.numel()));
    for (float& value : values) value = static_cast<float>(draw(rng, *param));
    param->value.copy_(at::tensor(values).view(param->value.sizes()));
  }
  root.visit([&](Module& module) { module.parameters_drawn(seed); });
}

}  // namespace evenkeel::nn
