#include "evenkeel/probes/spectra.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "evenkeel/ops/reduce.h"
#include "evenkeel/train/spectra.h"
#include "evenkeel/train/weights_file.h"

namespace evenkeel::probes {
namespace {

/// Sigma is then good to about the square of the tolerance over the gap, so to the last digits of the type.
ops::PowerOptions converged(at::ScalarType type) {
  return type == at::kDouble ? ops::PowerOptions{1e-8, 5000} : ops::PowerOptions{1e-5, 5000};
}

Json matrices_json(const train::Spectrum& spectrum, const std::map<std::string, at::Tensor>& in_use) {
  Json all = Json::array();
  for (const train::MatrixSpectrum& matrix : spectrum.matrices) {
    const double squares = ops::sum_squares(in_use.at(matrix.parameter)), sigma = matrix.top.sigma;
    Json entry{
        {"parameter", matrix.parameter},   {"rows", matrix.rows},   {"cols", matrix.cols}, {"sigma", sigma},
        {"residual", matrix.top.residual}, {"stable_rank", nullptr}};
    if (sigma != 0) entry["stable_rank"] = squares / (sigma * sigma);
    else entry["why"] = "a zero matrix";
    all.push_back(std::move(entry));
  }
  return all;
}

/// Of all sequences of the batch that have rows to check: least slack, mean bound, violated anywhere.
std::vector<train::EntropyChecks> check_batch(const Subject& subject) {
  const std::int64_t sequences = subject.batch.inputs.size(0);
  std::vector<train::EntropyChecks> all;
  std::vector<double> checked;
  for (std::int64_t b = 0; b < sequences; ++b) {
    auto checks = train::check_entropy(*subject.model, subject.batch, b, subject.context);
    all.resize(checks.size());
    checked.resize(checks.size());
    for (std::size_t layer = 0; layer < all.size(); ++layer) {
      if (checks[layer].heads.empty()) {
        if (checked[layer] == 0) all[layer] = std::move(checks[layer]);
        continue;
      }
      if (++checked[layer] == 1) {
        all[layer] = std::move(checks[layer]);
        continue;
      }
      for (std::size_t h = 0; h < all[layer].heads.size(); ++h) {
        ops::EntropyCheck& sum = all[layer].heads[h];
        const ops::EntropyCheck& one = checks[layer].heads[h];
        sum.slack = std::min(sum.slack, one.slack);
        sum.bound += one.bound;
        sum.violated = sum.violated || one.violated;
      }
    }
  }
  for (std::size_t layer = 0; layer < all.size(); ++layer)
    for (ops::EntropyCheck& head : all[layer].heads) head.bound /= checked[layer];
  return all;
}

Json measure_spectra(const Subject& subject, const Options& options) {
  train::Spectra spectra(*subject.model);
  const train::Spectrum spectrum = spectra.measure(subject.context, converged(options.type));
  const std::vector<train::EntropyChecks> checks = check_batch(subject);
  Json attention = Json::array();
  for (std::size_t layer = 0; layer < spectrum.products.size(); ++layer) {
    Json heads = Json::array();
    for (std::size_t h = 0; h < spectrum.products[layer].heads.size(); ++h) {
      const kernels::TopSingular& top = spectrum.products[layer].heads[h];
      Json head{{"qk_sigma", top.sigma},
                {"qk_residual", top.residual},
                {"entropy_slack", nullptr},
                {"entropy_bound", nullptr},
                {"bound_violated", false}};
      if (checks[layer].heads.empty()) {
        head["why"] = checks[layer].why;
      } else {
        const ops::EntropyCheck& check = checks[layer].heads[h];
        head["entropy_slack"] = check.slack;
        head["entropy_bound"] = check.bound;
        head["bound_violated"] = check.violated;
      }
      heads.push_back(std::move(head));
    }
    attention.push_back({{"site", spectrum.products[layer].site}, {"heads", heads}});
  }
  return {{"matrices", matrices_json(spectrum, train::treated_weights(*subject.model, subject.context))},
          {"attention", attention}};
}

Description describe_spectra(const std::vector<Json>& answers) {
  Description description;
  for (const Json& answer : answers) {
    const Json& s = answer.at("spectra");
    Table matrices{subject_text(answer), {{"matrix", "shape", "sigma", "stable rank", "residual"}}, 2};
    for (const Json& m : s.at("matrices")) {
      matrices.rows.push_back({m.at("parameter").get<std::string>(),
                               fmt::format("{} x {}", m.at("rows").dump(), m.at("cols").dump()),
                               number_text(m.at("sigma")), number_text(m.at("stable_rank")),
                               number_text(m.at("residual"), "{:.0e}")});
    }
    description.tables.push_back(std::move(matrices));
    Table heads{"", {{"attention", "head", "sigma(W_Q W_K^T)", "residual", "entropy slack", "bound"}}, 1};
    for (const Json& layer : s.at("attention")) {
      for (std::size_t h = 0; h < layer.at("heads").size(); ++h) {
        const Json& head = layer.at("heads")[h];
        heads.rows.push_back({layer.at("site").get<std::string>(), std::to_string(h),
                              number_text(head.at("qk_sigma")), number_text(head.at("qk_residual"), "{:.0e}"),
                              number_text(head.at("entropy_slack")), number_text(head.at("entropy_bound"))});
      }
    }
    if (heads.rows.size() > 1) description.tables.push_back(std::move(heads));
  }
  description.notes.push_back(
      "sigma: largest singular value of the matrix in use, treatments included; stable rank: |A|_F^2 / "
      "sigma^2. Entropy slack: least entropy of attention above its bound, nat, over the rows of the batch.");
  return description;
}

}  // namespace

Probe spectra_probe() {
  return {"spectra",
          "spectral norms and stable ranks of every matrix, W_Q W_K^T of every head, entropy slack",
          measure_spectra, describe_spectra};
}

}  // namespace evenkeel::probes
