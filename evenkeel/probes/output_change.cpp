#include "evenkeel/probes/output_change.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "evenkeel/analysis/stats.h"
#include "evenkeel/base/rng.h"

namespace evenkeel::probes {
namespace {

constexpr std::size_t kFrom = 5, kLeast = 10;  ///< of growth_of

at::Tensor standardised(const at::Tensor& x) {
  const at::Tensor centred = x - x.mean({-1}, true);
  return centred / centred.square().mean({-1}, true).sqrt();
}

struct StreamSink : nn::ResidualSink {
  Streams streams;
  void residual(const nn::Residual& at, const at::Tensor& x, const at::Tensor& f) override {
    streams.sites.push_back(at.site());
    streams.values.push_back(standardised(sublayer_output(at, sublayer_sum(at, x, f))));
  }
};

}  // namespace

at::Tensor random_change(const at::Tensor& like, double size, std::uint64_t seed, const std::string& name) {
  // The sign of a normal number is a fair coin: one bit of the generator.
  Rng rng(seed, "probe/output_change/" + name);
  at::Tensor change = at::empty(like.sizes(), at::kDouble);
  double* values = change.data_ptr<double>();
  for (std::int64_t i = 0; i < change.numel(); ++i) values[i] = (rng() & 1) != 0 ? size : -size;
  return change.to(like.scalar_type());
}

Streams standardised_streams(const Pass& pass, nn::Context context) {
  const c10::AutoGradMode no_grad(false);
  StreamSink sink;
  context.residuals = &sink;
  pass(context);
  return std::move(sink.streams);
}

std::vector<double> changes(const Streams& before, const Pass& pass, const nn::Context& context,
                            const std::vector<at::Tensor>& matrices, const std::vector<at::Tensor>& deltas) {
  const c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> kept;
  for (const at::Tensor& matrix : matrices) kept.push_back(matrix.clone());
  const auto restore = [&] {
    for (std::size_t i = 0; i < kept.size(); ++i) at::Tensor(matrices[i]).copy_(kept[i]);
  };
  Streams after;
  try {
    for (std::size_t i = 0; i < kept.size(); ++i) at::Tensor(matrices[i]).add_(deltas[i]);
    after = standardised_streams(pass, context);
  } catch (...) {
    restore();
    throw;
  }
  restore();
  std::vector<double> change;
  for (std::size_t i = 0; i < before.values.size(); ++i)
    change.push_back((after.values[i] - before.values[i]).to(at::kDouble).square().mean().item<double>());
  return change;
}

std::optional<Growth> growth_of(const std::vector<double>& change) {
  if (change.size() < kLeast) return std::nullopt;
  std::vector<double> n, log_n, y, log_y;
  for (std::size_t i = kFrom; i <= change.size(); ++i) {
    if (!(change[i - 1] > 0) || !std::isfinite(change[i - 1])) return std::nullopt;
    n.push_back(static_cast<double>(i));
    log_n.push_back(std::log(n.back()));
    y.push_back(change[i - 1]);
    log_y.push_back(std::log(y.back()));
  }
  return Growth{analysis::line_through(log_n, log_y).slope, analysis::line_through(n, y).r2,
                analysis::line_through(log_n, y).r2};
}

namespace {

struct Matrices {
  std::vector<at::Tensor> values;
  std::vector<std::string> names;
};
Matrices matrices_of(models::Model& model) {
  Matrices all;
  for (const nn::Param* p : model.parameters()) {
    if (p->role != nn::Role::kMatrix || !p->trainable) continue;
    all.values.push_back(p->value);
    all.names.push_back(p->name);
  }
  return all;
}

/// -size sign(g), one per matrix.
std::vector<at::Tensor> gradient_changes(const Subject& subject, const Pass& pass, const Matrices& matrices,
                                         double size) {
  const c10::AutoGradMode with_grad(true);
  const auto gradients =
      torch::autograd::grad({pass(subject.context)}, matrices.values, {}, false, false, true);
  std::vector<at::Tensor> all;
  for (std::size_t i = 0; i < gradients.size(); ++i)
    all.push_back(gradients[i].defined() ? gradients[i].sign() * -size : matrices.values[i].detach() * 0);
  return all;
}

Json stack_json(const Stack& stack, const Streams& streams,
                const std::vector<std::vector<double>>& per_seed) {
  const auto seeds = static_cast<double>(per_seed.size());
  std::vector<double> mean;
  Json sublayers = Json::array();
  for (const std::size_t i : stack.members) {
    double sum = 0, squares = 0;
    for (const std::vector<double>& one : per_seed) sum += one[i] / seeds;
    for (const std::vector<double>& one : per_seed) squares += (one[i] - sum) * (one[i] - sum);
    mean.push_back(sum);
    Json entry{{"site", streams.sites[i]}, {"change", sum}, {"std", nullptr}};
    if (per_seed.size() > 1) entry["std"] = std::sqrt(squares / (seeds - 1));
    else entry["why"] = "one change has no spread";
    sublayers.push_back(std::move(entry));
  }
  Json answer{{"stack", stack.name}, {"sublayers", sublayers}, {"output", mean.back()}, {"growth", nullptr}};
  if (const auto growth = growth_of(mean)) {
    answer["growth"] = {
        {"exponent", growth->exponent}, {"linear_r2", growth->linear_r2}, {"log_r2", growth->log_r2}};
  } else {
    answer["why"] = fmt::format("growth needs {} sub-layers whose change is positive", kLeast);
  }
  return answer;
}

Json measure_output_change(const Subject& subject, const Options& options) {
  const Pass pass = pass_of(subject);
  const Matrices matrices = matrices_of(*subject.model);
  const bool random = options.change == MatrixChange::kRandom;
  const double size = options.size.value_or(random ? 1e-4 : 1e-6);
  const Streams before = standardised_streams(pass, subject.context);
  std::vector<std::vector<double>> per_seed;
  const int seeds = random ? options.seeds : 1;
  for (int seed = 0; seed < seeds; ++seed) {
    std::vector<at::Tensor> deltas;
    if (random) {
      for (std::size_t i = 0; i < matrices.values.size(); ++i)
        deltas.push_back(
            random_change(matrices.values[i], size, static_cast<std::uint64_t>(seed), matrices.names[i]));
    } else {
      deltas = gradient_changes(subject, pass, matrices, size);
    }
    per_seed.push_back(changes(before, pass, subject.context, matrices.values, deltas));
  }
  Json stacks = Json::array();
  for (const Stack& stack : stacks_of(before.sites)) stacks.push_back(stack_json(stack, before, per_seed));
  return {{"scheme", subject.experiment.arch.scheme_text()},
          {"change", random ? "random" : "gradient"},
          {"size", size},
          {"seeds", seeds},
          {"matrices", matrices.values.size()},
          {"stacks", stacks}};
}

/// 1, 2, 5, 10, 20, ... and n: a curve that is read over ln N.
std::vector<std::size_t> depths_shown(std::size_t n) {
  std::vector<std::size_t> depths;
  for (std::size_t ten = 1; ten <= n; ten *= 10)
    for (const std::size_t digit : {1, 2, 5})
      if (digit * ten < n) depths.push_back(digit * ten);
  depths.push_back(n);
  return depths;
}

Description describe_output_change(const std::vector<Json>& answers) {
  Description description;
  for (const Json& answer : answers) {
    const Json& o = answer.at("output-change");
    for (const Json& stack : o.at("stacks")) {
      const Json& sublayers = stack.at("sublayers");
      Table table{fmt::format("{}: {}, {}", subject_text(answer), stack.at("stack").get<std::string>(),
                              o.at("scheme").get<std::string>()),
                  {{"after", "N", "change", "std", "change / N"}},
                  1};
      for (const std::size_t n : depths_shown(sublayers.size())) {
        const Json& s = sublayers[n - 1];
        const double change = number_from_json(s.at("change"), "answer");
        table.rows.push_back({s.at("site").get<std::string>(), std::to_string(n), number_text(s.at("change")),
                              number_text(s.at("std"), "{:.1e}"),
                              fmt::format("{:.4g}", change / static_cast<double>(n))});
      }
      description.tables.push_back(std::move(table));
      const Json& growth = stack.at("growth");
      if (growth.is_null()) continue;
      description.notes.push_back(fmt::format(
          "{}, {}: grows as N^{} from N = {} on; R^2 {} of a line over N, {} over ln N.",
          subject_text(answer), stack.at("stack").get<std::string>(),
          number_text(growth.at("exponent"), "{:.2f}"), kFrom, number_text(growth.at("linear_r2"), "{:.3f}"),
          number_text(growth.at("log_r2"), "{:.3f}")));
    }
  }
  const Json& first = answers.front().at("output-change");
  description.notes.push_back(
      fmt::format("Squared change per value of the standardised stream after N sub-layers when every value "
                  "of {} matrices "
                  "moves by {:.0e} {}; the last is that of the normed stack output.",
                  first.at("matrices").dump(), number_from_json(first.at("size"), "answer"),
                  first.at("change") == "random"
                      ? fmt::format("with a random sign, mean of {} seeds", first.at("seeds").dump())
                      : "against the gradient's sign"));
  return description;
}

}  // namespace

Probe output_change_probe() {
  return {"output-change", "change of the stream after every sub-layer when all matrices move a little",
          measure_output_change, describe_output_change};
}

}  // namespace evenkeel::probes
