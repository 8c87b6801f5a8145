#include "evenkeel/probes/sharpness.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <utility>

#include "evenkeel/base/rng.h"
#include "evenkeel/probes/hessian.h"
#include "evenkeel/probes/lanczos.h"

namespace evenkeel::probes {
namespace {

constexpr double kTolerance =
    1e-3;  // of the residual: the eigenvalue is then good to about 1e-6 over the gap

/// A direction that no eigenvector is orthogonal to, the same for all models of n parameters.
at::Tensor random_direction(std::int64_t n, at::ScalarType type) {
  Rng rng(0, "probe/sharpness");
  at::Tensor v = at::empty({n}, at::kDouble);
  for (std::int64_t i = 0; i < n; ++i) v.data_ptr<double>()[i] = rng.normal();
  return v.to(type);
}

/// diag(P^-1/2) [n], P that of the optimiser over the factor of each parameter's rate; 0 where P is, as the
/// update there is. Undefined where the optimiser has no P.
at::Tensor inverse_root(const optim::Optimiser& optimiser, at::ScalarType type) {
  std::vector<at::Tensor> parts;
  for (std::size_t i = 0; i < optimiser.params().size(); ++i) {
    const at::Tensor p = optimiser.preconditioner(i);
    if (!p.defined()) return {};
    const at::Tensor wide = p.to(at::kDouble).flatten();
    parts.push_back(wide.rsqrt().masked_fill_(wide.eq(0), 0).mul_(std::sqrt(optimiser.rate_of(i))));
  }
  return at::cat(parts).to(type);
}

/// An eigenvalue beside the largest stable one.
Json beside_edge(const TopEigenvalue& top, double factor, double lr) {
  return {{"eigenvalue", top.value},
          {"residual", top.residual},
          {"iterations", top.iterations},
          {"threshold", factor / lr},
          {"ratio", top.value * lr / factor}};
}

std::string why_no_preconditioner(const Subject& subject) {
  const std::string name(enum_name(subject.experiment.optim.algorithm));
  const auto edge = stability_edge(subject.experiment.optim);
  if (edge && edge->preconditioned && subject.step == 0)
    return name + " has no preconditioner before its first update";
  return name + " has no preconditioner";
}

Json measure_sharpness(const Subject& subject, const Options& options) {
  const c10::AutoGradMode no_grad(false);
  const Hessian hessian(*subject.model, subject.batch, subject.context);
  const auto edge = stability_edge(subject.experiment.optim);
  const LanczosOptions lanczos{kTolerance, options.iterations};
  const at::Tensor start = random_direction(hessian.size(), options.type);
  const TopEigenvalue plain =
      top_eigenvalue([&](const at::Tensor& v) { return hessian.times(v); }, start, lanczos);
  const double own_factor = edge && !edge->preconditioned ? edge->factor : 2;
  Json answer{{"loss", hessian.loss()},
              {"eigenvalue", plain.value},
              {"ratio", nullptr},
              {"hessian", beside_edge(plain, own_factor, subject.lr)},
              {"preconditioned", nullptr}};
  const at::Tensor scale = inverse_root(*subject.optimiser, options.type);
  if (edge && scale.defined()) {
    const TopEigenvalue top =
        top_eigenvalue([&](const at::Tensor& v) { return scale * hessian.times(scale * v); }, start, lanczos);
    answer["preconditioned"] = beside_edge(top, edge->factor, subject.lr);
  } else {
    answer["why"] = why_no_preconditioner(subject);
  }
  if (edge && !edge->preconditioned) answer["ratio"] = answer["hessian"]["ratio"];
  if (edge && scale.defined()) answer["ratio"] = answer["preconditioned"]["ratio"];
  return answer;
}

/// "38 / lr", of an answer\'s eigenvalue: its threshold is that over the learning rate.
std::string factor_text(const Json& answer, const char* which) {
  const double lr = number_from_json(answer.at("lr"), "answer");
  if (!(lr > 0)) return "none at learning rate 0";
  const Json& threshold = answer.at("sharpness").at(which).at("threshold");
  return fmt::format("{:.4g} / lr", number_from_json(threshold, "answer") * lr);
}

void add_once(std::vector<std::string>& list, const std::string& text) {
  if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
}

Description describe_sharpness(const std::vector<Json>& answers) {
  Table table;
  table.rows.push_back({"run", "step", "loss", "Hessian", "ratio", "preconditioned", "ratio", "residual"});
  std::vector<std::string> edges, whys;
  for (const Json& answer : answers) {
    const Json& s = answer.at("sharpness");
    const Json &plain = s.at("hessian"), &scaled = s.at("preconditioned");
    const bool has = !scaled.is_null();
    double residual = number_from_json(plain.at("residual"), "answer");
    if (has) residual = std::max(residual, number_from_json(scaled.at("residual"), "answer"));
    table.rows.push_back({answer.at("run").is_null() ? "initialisation" : answer.at("run").get<std::string>(),
                          answer.at("step").dump(), number_text(s.at("loss")),
                          number_text(plain.at("eigenvalue")), number_text(plain.at("ratio")),
                          has ? number_text(scaled.at("eigenvalue")) : "-",
                          has ? number_text(scaled.at("ratio")) : "-", fmt::format("{:.0e}", residual)});
    // Of an optimiser with a preconditioner, or with an edge nobody knows, 2 / lr is not the edge.
    const bool own = !s.at("ratio").is_null() && s.at("ratio").dump() == plain.at("ratio").dump();  // NaN too
    add_once(edges, factor_text(answer, "hessian") +
                        (own ? " of the Hessian" : " of the Hessian, which is gradient descent's own"));
    if (has) add_once(edges, factor_text(answer, "preconditioned") + " of the preconditioned one");
    else add_once(whys, s.at("why").get<std::string>());
  }
  const Json& batch = answers.front().at("batch");
  Description description{{table}, {}};
  description.notes.push_back(
      fmt::format("Largest eigenvalue of the Hessian of the training loss on {} of training data "
                  "({} tokens, {}), "
                  "and of P^-1/2 H P^-1/2 with the optimiser's own preconditioner P.",
                  batch.at("sequences") == 1 ? "1 sequence" : batch.at("sequences").dump() + " sequences",
                  batch.at("tokens").dump(), answers.front().at("precision").get<std::string>()));
  description.notes.push_back(fmt::format(
      "A ratio is to the edge of stability, {}: beyond 1 the optimiser it belongs to climbs along "
      "that direction at this learning rate. Residual: how far the worse of the two is from an "
      "eigenvalue, relatively; above {:g} it is an underestimate, and more --iterations help.",
      fmt::join(edges, "; "), kTolerance));
  for (const std::string& why : whys) description.notes.push_back("Nothing preconditioned: " + why + ".");
  return description;
}

}  // namespace

std::optional<StabilityEdge> stability_edge(const OptimSpec& optim) {
  switch (optim.algorithm) {
    case OptimiserKind::kAdamW:
    case OptimiserKind::kAdam:
    case OptimiserKind::kRAdam:
      return StabilityEdge{true, (2 + 2 * optim.beta1) / (1 - optim.beta1)};
    case OptimiserKind::kAdagrad:
      return StabilityEdge{true, 2};
    case OptimiserKind::kSgd:
      return StabilityEdge{false, 2 + 2 * optim.momentum};
    default:
      return std::nullopt;
  }
}

Probe sharpness_probe() {
  return {"sharpness",
          "largest eigenvalue of the Hessian, plain and preconditioned, beside the edge of stability",
          measure_sharpness, describe_sharpness};
}

}  // namespace evenkeel::probes
