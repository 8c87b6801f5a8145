#include "evenkeel/probes/dependency.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "evenkeel/probes/residual_stream.h"

namespace evenkeel::probes {
namespace {

constexpr std::size_t kWholeMatrix = 12;  ///< sub-layers whose matrix fits 100 columns of text

/// a + b, either of which may be missing.
at::Tensor plus(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined()) return b;
  return b.defined() ? a + b : a;
}

}  // namespace

double SubLayerShares::sum_of_squares() const {
  double sum = 0;
  for (const double b : beta) sum += b * b;
  return sum;
}

ShareSink::ShareSink(NormType norm, double eps) : type_(norm), eps_(eps) {}

void ShareSink::norm(Parts& parts, const nn::Norm& by, const at::Tensor& sum) const {
  const bool centres = type_ == NormType::kLayerNorm;
  const at::Tensor centred = centres ? sum - sum.mean({-1}, true) : sum;
  const at::Tensor factor = (centred.square().mean({-1}, true) + eps_).rsqrt();
  const auto apply = [&](const at::Tensor& part) {
    return by.gain.value * ((centres ? part - part.mean({-1}, true) : part) * factor);
  };
  for (at::Tensor& part : parts.of) part = apply(part);
  if (parts.bias.defined()) parts.bias = apply(parts.bias);
  if (by.bias != nullptr) parts.bias = plus(parts.bias, by.bias->value.expand_as(sum));
}

void ShareSink::residual(const nn::Residual& at, const at::Tensor& x, const at::Tensor& f) {
  const std::string site = at.site(), layer = layer_of(site);
  State& stack = stacks_[stack_of(site)];
  Parts& now = stack.now;
  if (now.of.empty()) now.of.push_back(x);
  if (stack.layer != layer) {
    stack.layer = layer;
    stack.layer_input = now;
  }
  if (at.record().adds_layer_input) {
    for (std::size_t j = 0; j < stack.layer_input.of.size(); ++j)
      now.of[j] = now.of[j] + stack.layer_input.of[j];
    now.bias = plus(now.bias, stack.layer_input.bias);
  }
  const at::Tensor omega = at.omega();
  if (omega.defined()) {
    for (at::Tensor& part : now.of) part = omega * part;
    if (now.bias.defined()) now.bias = omega * now.bias;
  }
  now.of.push_back(f);
  const at::Tensor sum = sublayer_sum(at, x, f);
  const at::Tensor kept = omega.defined() ? omega * x : x;
  SubLayerShares shares{site, variance(kept), variance(f), 0, {}, 0};
  shares.dependency = shares.branch_variance / variance(sum);
  if (at.record().norm_after) norm(now, *at.norm(), sum);
  const double total = variance(sublayer_output(at, sum));
  for (const at::Tensor& part : now.of) shares.beta.push_back(std::sqrt(variance(part) / total));
  if (now.bias.defined()) shares.bias = std::sqrt(variance(now.bias) / total);
  sublayers_.push_back(std::move(shares));
}

std::vector<at::Tensor> ShareSink::parts(const std::string& stack) const {
  const Parts& now = stacks_.at(stack).now;
  std::vector<at::Tensor> all = now.of;
  all.push_back(now.bias);
  return all;
}

namespace {

Json measure_dependency(const Subject& subject, const Options&) {
  const c10::AutoGradMode no_grad(false);
  ShareSink sink(subject.experiment.arch.norm, subject.experiment.arch.norm_eps);
  nn::Context context = subject.context;
  context.residuals = &sink;
  pass_of(subject)(context);
  std::vector<std::string> sites;
  for (const SubLayerShares& s : sink.sublayers()) sites.push_back(s.site);
  Json stacks = Json::array();
  for (const Stack& stack : stacks_of(sites)) {
    Json sublayers = Json::array();
    for (const std::size_t i : stack.members) {
      const SubLayerShares& s = sink.sublayers()[i];
      Json beta = Json::array();
      for (const double b : s.beta) beta.push_back(b);
      sublayers.push_back({{"site", s.site},
                           {"shortcut_variance", s.shortcut_variance},
                           {"branch_variance", s.branch_variance},
                           {"dependency", s.dependency},
                           {"beta", beta},
                           {"beta_bias", s.bias},
                           {"sum_of_squares", s.sum_of_squares()}});
    }
    stacks.push_back({{"stack", stack.name}, {"sublayers", sublayers}});
  }
  return {{"scheme", subject.experiment.arch.scheme_text()}, {"stacks", stacks}};
}

/// Rows i, columns j.
Table matrix_table(const Json& sublayers) {
  Table table{"beta_ij", {{"i", "embed"}}, 1};
  for (std::size_t j = 1; j <= sublayers.size(); ++j) table.rows[0].push_back(std::to_string(j));
  for (std::size_t i = 0; i < sublayers.size(); ++i) {
    std::vector<std::string> row{std::to_string(i + 1)};
    for (const Json& b : sublayers[i].at("beta")) row.push_back(number_text(b, "{:.2f}"));
    row.resize(table.rows[0].size());
    table.rows.push_back(std::move(row));
  }
  return table;
}

Description describe_dependency(const std::vector<Json>& answers) {
  Description description;
  for (const Json& answer : answers) {
    const Json& d = answer.at("dependency");
    for (const Json& stack : d.at("stacks")) {
      const Json& sublayers = stack.at("sublayers");
      const Json& last = sublayers.back().at("beta");
      Table table{fmt::format("{}: {}, {}", subject_text(answer), stack.at("stack").get<std::string>(),
                              d.at("scheme").get<std::string>()),
                  {{"sub-layer", "i", "Var[wx]", "Var[f]", "dependency", "beta_ii", "in output", "sum"}},
                  1};
      table.rows.push_back({"embedding", "0", "-", "-", "-", "-", number_text(last[0], "{:.3f}"), "-"});
      std::size_t before = 0;
      for (const std::size_t i : shown_of(sublayers.size())) {
        if (i > before) table.rows.push_back({"...", "", "", "", "", "", "", ""});
        before = i + 1;
        const Json& s = sublayers[i];
        table.rows.push_back({s.at("site").get<std::string>(), std::to_string(i + 1),
                              number_text(s.at("shortcut_variance")), number_text(s.at("branch_variance")),
                              number_text(s.at("dependency"), "{:.3f}"),
                              number_text(s.at("beta").back(), "{:.3f}"), number_text(last[i + 1], "{:.3f}"),
                              number_text(s.at("sum_of_squares"), "{:.3f}")});
      }
      description.tables.push_back(std::move(table));
      if (sublayers.size() <= kWholeMatrix) description.tables.push_back(matrix_table(sublayers));
    }
  }
  description.notes.push_back(
      "dependency: Var[f] / Var[wx + f]. beta_ij: standard deviation that branch j has in the stream after "
      "sub-layer i, of the whole stream's (j = 0: the embedding); in output: beta of the last i; sum: of "
      "beta_ij^2 over j, 1 but for covariances. --json has every beta.");
  return description;
}

}  // namespace

Probe dependency_probe() {
  return {"dependency", "share of every branch in the residual stream after every sub-layer",
          measure_dependency, describe_dependency};
}

}  // namespace evenkeel::probes
