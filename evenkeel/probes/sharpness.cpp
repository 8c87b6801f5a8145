#include "evenkeel/probes/sharpness.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <utility>

#include "evenkeel/curvature/sharpness.h"

namespace evenkeel::probes {
namespace {

/// An eigenvalue beside the largest stable one.
Json beside_edge(const curvature::TopEigenvalue& top, double factor, double lr) {
  return {{"eigenvalue", top.value},
          {"residual", top.residual},
          {"iterations", top.iterations},
          {"threshold", factor / lr},
          {"ratio", top.value * lr / factor}};
}

std::string why_no_preconditioner(const Subject& subject) {
  const std::string name(enum_name(subject.experiment.optim.algorithm));
  const auto edge = curvature::stability_edge(subject.experiment.optim);
  if (edge && edge->preconditioned && subject.step == 0)
    return name + " has no preconditioner before its first update";
  return name + " has no preconditioner";
}

Json measure_sharpness(const Subject& subject, const Options& options) {
  const OptimSpec& optim = subject.experiment.optim;
  const auto edge = curvature::stability_edge(optim);
  const curvature::Sharpness found = curvature::sharpness_of(*subject.model, subject.batch, subject.context,
                                                             *subject.optimiser, optim, options.iterations);
  const bool descends = edge && !edge->preconditioned;
  Json answer{{"loss", found.loss},
              {"eigenvalue", found.hessian.value},
              {"ratio", nullptr},
              {"hessian", beside_edge(found.hessian, descends ? edge->factor : 2, subject.lr)},
              {"preconditioned", nullptr}};
  if (found.preconditioned)
    answer["preconditioned"] = beside_edge(*found.preconditioned, edge->factor, subject.lr);
  else answer["why"] = why_no_preconditioner(subject);
  if (descends) answer["ratio"] = answer["hessian"]["ratio"];
  if (found.preconditioned) answer["ratio"] = answer["preconditioned"]["ratio"];
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
      fmt::join(edges, "; "), curvature::kSharpnessTolerance));
  for (const std::string& why : whys) description.notes.push_back("Nothing preconditioned: " + why + ".");
  return description;
}

}  // namespace

Probe sharpness_probe() {
  return {"sharpness",
          "largest eigenvalue of the Hessian, plain and preconditioned, beside the edge of stability",
          measure_sharpness, describe_sharpness};
}

}  // namespace evenkeel::probes
