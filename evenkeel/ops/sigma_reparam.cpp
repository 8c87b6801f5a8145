#include "evenkeel/ops/sigma_reparam.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "evenkeel/kernels/spectral.h"
#include "evenkeel/ops/expect.h"
#include "evenkeel/ops/threads.h"
#include "evenkeel/ops/top_singular.h"

namespace evenkeel::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::int64_t rows_in(at::TensorList weights) {
  return std::accumulate(weights.begin(), weights.end(), std::int64_t{0},
                         [](std::int64_t sum, const at::Tensor& w) { return sum + w.size(0); });
}

/// Matrices of n columns whose rows can be cut into groups.
void check(const char* op, const std::vector<at::Tensor>& weights, std::int64_t groups, std::int64_t n,
           at::ScalarType type) {
  const Expect expect(op);
  expect.that(!weights.empty() && groups > 0, "takes at least one matrix and one group");
  expect.that(type == at::kFloat || type == at::kDouble, "weights must be Float or Double");
  for (const at::Tensor& w : weights) {
    expect.tensor("weight", w, {kAny, n}, {type});
    expect.contiguous("weight", w);
  }
  expect.that(rows_in(weights) % groups == 0, "the rows must be as many in every group");
}
void check(const char* op, const std::vector<at::Tensor>& weights, const at::Tensor& gamma,
           const SpectralState& state) {
  const Expect expect(op);
  const at::ScalarType type = gamma.scalar_type();
  const std::int64_t groups = gamma.numel();
  expect.tensor("gamma", gamma, {kAny}, {at::kFloat, at::kDouble});
  expect.tensor("u", state.u, {groups, kAny}, {type});
  check(op, weights, groups, state.u.size(1), type);
  expect.tensor("v", state.v, {rows_in(weights)}, {type});
  expect.tensor("sigma", state.sigma, {groups}, {type});
  for (const auto& [name, t] : {std::pair{"gamma", gamma}, std::pair{"u", state.u}, std::pair{"v", state.v},
                                std::pair{"sigma", state.sigma}})
    expect.contiguous(name, t);
}

/// All rows of matrices below each other, cut into groups.
template <class Pointer>
std::vector<std::vector<Pointer>> grouped_rows(at::TensorList matrices, std::int64_t groups) {
  std::vector<Pointer> all;
  for (const at::Tensor& m : matrices)
    for (std::int64_t i = 0; i < m.size(0); ++i) all.push_back(m.data_ptr<float>() + i * m.size(1));
  const std::int64_t each = std::ssize(all) / groups;
  std::vector<std::vector<Pointer>> cut;
  for (std::int64_t g = 0; g < groups; ++g)
    cut.emplace_back(all.begin() + g * each, all.begin() + (g + 1) * each);
  return cut;
}

/// [G, m / G, n]
at::Tensor stacked(at::TensorList weights, std::int64_t groups) {
  return at::cat(weights).view({groups, -1, weights.front().size(1)});
}

std::vector<at::Tensor> unstacked(const at::Tensor& all, at::TensorList like) {
  const at::Tensor flat = all.flatten(0, 1);
  std::vector<at::Tensor> parts;
  std::int64_t row = 0;
  for (const at::Tensor& w : like) {
    parts.push_back(flat.narrow(0, row, w.size(0)));
    row += w.size(0);
  }
  return parts;
}

float scale_of(const at::Tensor& sigma, std::int64_t group) {
  const float value = sigma.data_ptr<float>()[group];
  return value == 0 ? 1 : value;
}

struct SigmaReparamFunction : torch::autograd::Function<SigmaReparamFunction> {
  static variable_list forward(AutogradContext* ctx, at::TensorList weights, const at::Tensor& gamma,
                               const at::Tensor& u, const at::Tensor& v, const at::Tensor& sigma) {
    const std::int64_t groups = gamma.numel(), n = u.size(1);
    variable_list out, saved{gamma, u, v, sigma};
    for (const at::Tensor& w : weights) {
      out.push_back(at::empty(w.sizes(), w.options()));
      saved.push_back(w);
    }
    const auto rows = grouped_rows<const float*>(weights, groups);
    const auto into = grouped_rows<float*>(out, groups);
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto i = static_cast<std::size_t>(g);
      kernels::scale_rows(rows[i], n, gamma.data_ptr<float>()[g] / scale_of(sigma, g), into[i]);
    }
    ctx->save_for_backward(saved);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list upstream) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &gamma = saved[0], &u = saved[1], &v = saved[2], &sigma = saved[3];
    const variable_list weights(saved.begin() + 4, saved.end());
    variable_list given, gradients;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      given.push_back(upstream[i].defined() ? upstream[i].contiguous() : at::zeros_like(weights[i]));
      gradients.push_back(at::empty(weights[i].sizes(), weights[i].options()));
    }
    const std::int64_t groups = gamma.numel(), n = u.size(1), each = rows_in(weights) / groups;
    at::Tensor dgamma = at::empty(gamma.sizes(), gamma.options());
    const auto rows = grouped_rows<const float*>(weights, groups),
               g_rows = grouped_rows<const float*>(given, groups);
    const auto into = grouped_rows<float*>(gradients, groups);
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto i = static_cast<std::size_t>(g);
      const float scale = scale_of(sigma, g);
      const auto along =
          static_cast<float>(kernels::inner_product(g_rows[i], rows[i], n) / static_cast<double>(scale));
      dgamma.data_ptr<float>()[g] = along;
      kernels::subtract_rank_one(g_rows[i], n, gamma.data_ptr<float>()[g] / scale, along,
                                 v.data_ptr<float>() + g * each, u.data_ptr<float>() + g * n, into[i]);
    }
    gradients.insert(gradients.end(), {dgamma, at::Tensor(), at::Tensor(), at::Tensor()});
    return gradients;
  }
};

/// Double is for checks: power iteration on the whole stack, each group until it is done.
SpectralState power_iterate_plain(at::TensorList weights, const at::Tensor& start, double tolerance,
                                  int most) {
  const std::int64_t groups = start.size(0);
  const at::Tensor w = stacked(weights, groups);
  SpectralState state{start.clone(), at::zeros({groups, w.size(1)}, w.options()),
                      at::zeros({groups}, w.options()), at::zeros({groups}, w.options())};
  for (std::int64_t g = 0; g < groups; ++g) {
    for (int i = 0; i < most; ++i) {
      const at::Tensor u = state.u[g], y = w[g].mv(u), along = y.norm();
      if (along.item<double>() == 0) break;
      if (!std::isfinite(along.item<double>())) {
        const double nan = std::numeric_limits<double>::quiet_NaN();
        for (const at::Tensor& t : {state.v[g], state.sigma[g], state.residual[g]}) t.fill_(nan);
        break;
      }
      const at::Tensor z = w[g].t().mv(y) / along, sigma = z.norm();
      state.v[g].copy_(y / along);
      state.sigma[g].copy_(sigma);
      state.residual[g].copy_((z - along * u).norm() / sigma);
      state.u[g].copy_(z / sigma);
      if (state.residual[g].item<double>() <= tolerance) break;
    }
  }
  state.v = state.v.flatten();
  return state;
}

}  // namespace

at::Tensor top_singular_vectors(const std::vector<at::Tensor>& weights, std::int64_t groups) {
  const c10::AutoGradMode no_grad(false);
  Expect("top_singular_vectors").that(!weights.empty() && weights.front().dim() == 2, "takes matrices");
  check("top_singular_vectors", weights, groups, weights.front().size(1), weights.front().scalar_type());
  const OneThread one;  // the library's bits depend on the number of threads
  const at::Tensor all = stacked(weights, groups).to(at::kDouble);
  std::vector<at::Tensor> tops;
  for (std::int64_t g = 0; g < groups; ++g) {
    const at::Tensor w = all[g];
    const bool wide = w.size(0) < w.size(1);
    const at::Tensor vectors = std::get<1>(at::linalg_eigh(wide ? at::mm(w, w.t()) : at::mm(w.t(), w)));
    at::Tensor top = vectors.select(1, vectors.size(1) - 1);
    if (wide) top = w.t().mv(top);
    const double length = top.norm().item<double>();
    if (length == 0) {
      top = at::zeros({w.size(1)}, w.options());
      top[0] = 1;
    }
    tops.push_back(length == 0 ? top : top / length);
  }
  return at::stack(tops).to(weights.front().scalar_type());
}

SpectralState power_iterate(const std::vector<at::Tensor>& weights, const at::Tensor& u, double tolerance,
                            int most) {
  const c10::AutoGradMode no_grad(false);
  Expect("power_iterate").tensor("u", u, {kAny, kAny}, {at::kFloat, at::kDouble});
  check("power_iterate", weights, u.size(0), u.size(1), u.scalar_type());
  if (u.scalar_type() == at::kDouble) return power_iterate_plain(weights, u, tolerance, most);
  const std::int64_t groups = u.size(0), n = u.size(1), m = rows_in(weights), each = m / groups;
  SpectralState state{u.clone(), at::empty({m}, u.options()), at::empty({groups}, u.options()),
                      at::empty({groups}, u.options())};
  const auto rows = grouped_rows<const float*>(weights, groups);
  for (std::int64_t g = 0; g < groups; ++g) {
    const kernels::PowerIteration result =
        kernels::power_iterate(rows[static_cast<std::size_t>(g)], n, state.u.data_ptr<float>() + g * n,
                               state.v.data_ptr<float>() + g * each, tolerance, most);
    state.sigma.data_ptr<float>()[g] = static_cast<float>(result.sigma);
    state.residual.data_ptr<float>()[g] = static_cast<float>(result.residual);
  }
  return state;
}

SpectralState block_iterate(const std::vector<at::Tensor>& weights, at::Tensor& block, double tolerance,
                            int most) {
  const c10::AutoGradMode no_grad(false);
  Expect("block_iterate").tensor("block", block, {kAny, kernels::kBlock, kAny}, {at::kFloat, at::kDouble});
  check("block_iterate", weights, block.size(0), block.size(2), block.scalar_type());
  const at::Tensor all = weights.size() == 1 ? weights[0] : at::cat(weights),
                   w = all.view({block.size(0), -1, all.size(1)});
  block = block.clone();
  std::vector<PowerMatrix> groups;
  for (std::int64_t g = 0; g < block.size(0); ++g) groups.push_back({w[g], {}, block[g]});
  top_singular_values(groups, {tolerance, most});
  return power_iterate(weights, block.select(1, 0).contiguous(), 0, 1);
}

std::vector<at::Tensor> sigma_reparam(const std::vector<at::Tensor>& weights, const at::Tensor& gamma,
                                      const SpectralState& state) {
  check("sigma_reparam", weights, gamma, state);
  if (gamma.scalar_type() != at::kFloat) return sigma_reparam_plain(weights, gamma, state);
  return SigmaReparamFunction::apply(at::TensorList(weights), gamma, state.u, state.v, state.sigma);
}

std::vector<at::Tensor> sigma_reparam_plain(const std::vector<at::Tensor>& weights, const at::Tensor& gamma,
                                            const SpectralState& state) {
  check("sigma_reparam_plain", weights, gamma, state);
  const std::int64_t groups = gamma.numel();
  const at::Tensor w = stacked(weights, groups);
  const at::Tensor sigma =
      at::bmm(at::bmm(state.v.view({groups, 1, -1}), w), state.u.unsqueeze(2)).view({groups});
  const at::Tensor scale = at::where(state.sigma == 0, at::ones_like(sigma), sigma);
  return unstacked((gamma / scale).view({groups, 1, 1}) * w, weights);
}

}  // namespace evenkeel::ops
