#include "evenkeel/nn/residual.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <c10/core/GradMode.h>

#include <stdexcept>
#include <utility>

#include "evenkeel/ops/storage.h"

namespace evenkeel::nn {

Residual::Residual(const SubLayer& record, const NormShape& norm, double dropout, const std::string& name,
                   const Residual* first)
    : record_(record), name_(name) {
  if (record.norm_before && record.adds_layer_input)
    throw std::logic_error(
        "the record of " + name +
        " has norm_before and adds_layer_input; the fused path adds a layer's input while its own branch may "
        "still be waiting for that norm, so choose another place for the norm");
  if (record.norm_before || record.norm_after)
    norm_ = &add_child(name + "_norm", std::make_unique<Norm>(norm, record.norm_before_factor));
  if (record.norm_of_branch) branch_norm_ = &add_child(name + "_branch_norm", std::make_unique<Norm>(norm));
  const auto trained = [&](const Scale& scale, const std::string& own) -> Param* {
    const std::int64_t size = scale.shape == Scale::Shape::kChannels ? norm.width : 1;
    return &add_param(own, {size}, Role::kGain, Init::kConstant, scale.start);
  };
  const Scale &omega = record.shortcut, &scale = record.branch_scale;
  if (omega.shape != Scale::Shape::kNone && omega.trained) {
    omega_ = trained(omega, name + "_omega");
  } else if (omega.shape == Scale::Shape::kChannels) {
    kept_omega_ = &add_buffer(name + "_omega", at::full({norm.width}, omega.start, at::kFloat));
  }
  if (scale.shape != Scale::Shape::kNone) {
    if (scale.in_layer && first != nullptr) scale_ = first->scale_;
    else scale_ = trained(scale, scale.in_layer ? "branch_scale" : name + "_scale");
  }
  dropout_ = &add_child(name + "_dropout", std::make_unique<Dropout>(dropout));
  Residual::convert_buffers(at::kFloat);
}

void Residual::convert_buffers(const at::TensorOptions& options) {
  const Scale& omega = record_.shortcut;
  if (omega.shape == Scale::Shape::kNumber && !omega.trained)
    constant_omega_ = at::full({}, omega.start, options);
}

at::Tensor Residual::omega() const {
  if (omega_ != nullptr) return omega_->value;
  return kept_omega_ != nullptr ? kept_omega_->value : constant_omega_;
}

at::Tensor Residual::scale() const {
  return scale_ != nullptr ? scale_->value : at::Tensor();
}

std::string Residual::omega_name() const {
  if (omega_ != nullptr) return omega_->name;
  return kept_omega_ != nullptr ? kept_omega_->name : "";
}

void Residual::set_branch_factor(const std::string& name, double factor) {
  require_free("the branch of " + site(), factor_name_, name);
  factor_name_ = name;
  branch_factor_ = factor;
}

void Residual::set_omega(double value) {
  const c10::AutoGradMode no_grad(false);
  if (omega_ != nullptr) omega_->value.fill_(value);
  else if (kept_omega_ != nullptr) kept_omega_->value = at::full_like(kept_omega_->value, value);
  else throw std::logic_error(site() + " has no omega of its own");
}

Stream Residual::forward(const Stream& in, const Branch& branch, const Context& context,
                         const at::Tensor& layer_input) const {
  return context.fused() ? fused(in, branch, context, layer_input) : plain(in, branch, context, layer_input);
}

Stream Residual::plain(const Stream& in, const Branch& branch, const Context& context,
                       const at::Tensor& layer_input) const {
  const at::Tensor s = scale();
  at::Tensor x = in.x;
  at::Tensor f = dropout_->forward(branch(record_.norm_before ? norm_->forward(x) : x), context);
  if (branch_norm_ != nullptr) f = branch_norm_->forward(f);
  if (branch_factor_ != 1) f = f * branch_factor_;
  if (s.defined()) f = s * f;
  if (record_.adds_layer_input) x = x + layer_input;
  if (context.residuals != nullptr) context.residuals->residual(*this, x, f);
  const at::Tensor w = omega(), y = w.defined() ? w * x + f : x + f;
  return {record_.norm_after ? norm_->forward(y) : y, {}, {}, "", {}};
}

Stream Residual::fused(const Stream& in, const Branch& branch, const Context& context,
                       const at::Tensor& layer_input) const {
  const at::Tensor s = scale();
  at::Tensor x, u;
  if (record_.norm_before) {
    const ops::AddNormResult first = norm_->forward(in, context);
    x = first.x;
    u = first.y;
  } else {
    x = sum(in, context);
    u = read({x, {}, {}, "", {}}, nullptr, context);
  }
  at::Tensor f = branch(u);
  kernels::Dropout dropout = dropout_->at(context);
  if (dropout.on() && (branch_norm_ != nullptr || s.defined())) {
    f = dropout_->forward(ops::wide(f), context);
    dropout = {};
  }
  if (branch_norm_ != nullptr) f = branch_norm_->forward(f, context);
  if (branch_factor_ != 1) f = f * branch_factor_;
  if (record_.adds_layer_input) x = sum({x, layer_input, {}, "", {}}, context);
  if (context.residuals != nullptr) {
    at::Tensor added = dropout.on() ? dropout_->forward(ops::wide(f), context) : ops::wide(f);
    if (s.defined()) added = s * added;
    context.residuals->residual(*this, x, added);
  }
  // One multiplier has a kernel: that of the first term.
  if (s.defined() && omega().defined()) throw std::logic_error("a sub-layer with both multipliers");
  Stream out = s.defined() ? Stream{ops::wide(f), x, {}, "", s} : Stream{x, f, dropout, "", omega()};
  if (record_.norm_after) return {norm_->forward(out, context, at::kFloat).y, {}, {}, "", {}};
  // Only a norm that comes next gains from adding later.
  if (!record_.norm_before) return {sum(out, context), {}, {}, "", {}};
  return out;
}

std::vector<OpUse> Residual::op_uses(const Context& context) const {
  std::vector<OpUse> uses;
  if (branch_factor_ != 1) uses.push_back({"branch_factor", OpPath::kPlain, "one product per value", true});
  if (context.fused() && dropout_->on() && (branch_norm_ != nullptr || scale_ != nullptr))
    uses.push_back(
        {"branch_dropout", OpPath::kPlain, "one product per value, before the branch's norm or scale", true});
  return uses;
}

void equip(Attention& attention, const SubLayer& record, const NormShape& norm) {
  const MatrixGains& g = record.gains;
  attention.q.draw_by(record.init, g.q);
  attention.k.draw_by(record.init, g.k);
  attention.v.draw_by(record.init, g.v);
  attention.o.draw_by(record.init, g.o);
  attention.gate_init = record.init;
  if (record.norm_inside) attention.set_inner_norm(std::make_unique<Norm>(norm));
  if (!record.shifts) return;
  for (Linear* layer : {&attention.q, &attention.k, &attention.v, &attention.o}) layer->add_shift();
}

void equip(Mlp& mlp, const SubLayer& record, const NormShape& norm) {
  mlp.fc1.draw_by(record.init, record.gains.w1);
  mlp.fc2.draw_by(record.init, record.gains.w2);
  if (record.norm_inside) {
    NormShape hidden = norm;
    hidden.width = mlp.shape().hidden;
    mlp.set_inner_norm(std::make_unique<Norm>(hidden));
  }
  if (record.shifts) mlp.add_shifts();
}

}  // namespace evenkeel::nn
