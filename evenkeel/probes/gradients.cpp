#include "evenkeel/probes/gradients.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <utility>

#include "evenkeel/ops/reduce.h"

namespace evenkeel::probes {
namespace {

struct GraphSink : nn::ResidualSink {
  std::vector<SubLayerGradient> sublayers;
  std::vector<at::Tensor> x, f;
  void residual(const nn::Residual& at, const at::Tensor& input, const at::Tensor& branch) override {
    sublayers.push_back({at.site(), 0, 0, !at.record().adds_layer_input});
    x.push_back(input);
    f.push_back(branch);
  }
};

/// 0 for undefined.
double rms_of(const at::Tensor& gradient) {
  return gradient.defined() ? ops::rms(gradient) : 0;
}

}  // namespace

Gradients gradients_of(const Pass& pass, nn::Context context, const std::vector<at::Tensor>& parameters) {
  const c10::AutoGradMode with_grad(true);
  GraphSink sink;
  context.residuals = &sink;
  const at::Tensor loss = pass(context);
  std::vector<at::Tensor> inputs = sink.x;
  inputs.insert(inputs.end(), sink.f.begin(), sink.f.end());
  inputs.insert(inputs.end(), parameters.begin(), parameters.end());
  const auto found = torch::autograd::grad({loss}, inputs, {}, false, false, /*allow_unused=*/true);
  Gradients gradients{std::move(sink.sublayers), {}};
  const std::size_t n = gradients.sublayers.size();
  for (std::size_t i = 0; i < n; ++i) {
    gradients.sublayers[i].at_input = rms_of(found[i]);
    gradients.sublayers[i].at_sum = rms_of(found[n + i]);  // df is d(omega x + f)
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor& gradient = found[2 * n + i];
    gradients.parameters.push_back(gradient.defined() ? gradient : at::zeros_like(parameters[i]));
  }
  return gradients;
}

namespace {

std::string why_no_direction(const Subject& subject) {
  if (subject.step == 0) return "no update was made yet";
  return fmt::format("{} keeps no direction", enum_name(subject.experiment.optim.algorithm));
}

/// Adds "relative_<key>": to the largest of the matrices inside blocks.
void add_relative(Json& matrices, const std::string& key) {
  double largest = 0;
  for (const Json& m : matrices)
    if (m.at("in_block").get<bool>() && !m.at(key).is_null())
      largest = std::max(largest, number_from_json(m.at(key), "answer"));
  for (Json& m : matrices) {
    Json& relative = m["relative_" + key] = nullptr;
    if (largest > 0 && !m.at(key).is_null()) relative = number_from_json(m.at(key), "answer") / largest;
  }
}

Json matrices_json(const Subject& subject, const std::vector<const nn::Param*>& params,
                   const std::vector<at::Tensor>& gradients) {
  Json matrices = Json::array();
  const std::vector<nn::Param*>& optimised = subject.optimiser->params();
  for (std::size_t i = 0; i < params.size(); ++i) {
    Json entry{{"parameter", params[i]->name},
               {"in_block", params[i]->role == nn::Role::kMatrix},
               {"gradient", ops::rms(gradients[i])},
               {"weight", ops::rms(params[i]->value.detach())},
               {"direction", nullptr}};
    const auto found = std::find(optimised.begin(), optimised.end(), params[i]);
    const at::Tensor direction =
        subject.step > 0 && found != optimised.end()
            ? subject.optimiser->direction(static_cast<std::size_t>(found - optimised.begin()))
            : at::Tensor();
    if (direction.defined()) entry["direction"] = ops::rms(direction);
    else entry["why"] = why_no_direction(subject);
    matrices.push_back(std::move(entry));
  }
  add_relative(matrices, "gradient");
  add_relative(matrices, "direction");
  return matrices;
}

Json measure_gradients(const Subject& subject, const Options&) {
  std::vector<const nn::Param*> params;
  std::vector<at::Tensor> values;
  for (const nn::Param* p : subject.model->parameters()) {
    if (!p->is_matrix() || !p->trainable) continue;
    params.push_back(p);
    values.push_back(p->value);
  }
  const Gradients gradients = gradients_of(pass_of(subject), subject.context, values);
  std::vector<std::string> sites;
  for (const SubLayerGradient& s : gradients.sublayers) sites.push_back(s.site);
  Json stacks = Json::array();
  for (const Stack& stack : stacks_of(sites)) {
    Json sublayers = Json::array();
    for (const std::size_t i : stack.members) {
      const SubLayerGradient& s = gradients.sublayers[i];
      Json entry{{"site", s.site}, {"at_input", nullptr}, {"at_sum", s.at_sum}};
      if (s.input_known) entry["at_input"] = s.at_input;
      else entry["why"] = "the layer's input is added too, so the shortcut is not the stream before";
      sublayers.push_back(std::move(entry));
    }
    stacks.push_back({{"stack", stack.name}, {"sublayers", sublayers}});
  }
  return {{"scheme", subject.experiment.arch.scheme_text()},
          {"stacks", stacks},
          {"matrices", matrices_json(subject, params, gradients.parameters)}};
}

Description describe_gradients(const std::vector<Json>& answers) {
  Description description;
  for (const Json& answer : answers) {
    const Json& g = answer.at("gradients");
    for (const Json& stack : g.at("stacks")) {
      const Json& sublayers = stack.at("sublayers");
      Table table{fmt::format("{}: {}, {}", subject_text(answer), stack.at("stack").get<std::string>(),
                              g.at("scheme").get<std::string>()),
                  {{"sub-layer", "i", "at input", "at sum"}},
                  1};
      std::size_t before = 0;
      for (const std::size_t i : shown_of(sublayers.size())) {
        if (i > before) table.rows.push_back({"...", "", "", ""});
        before = i + 1;
        const Json& s = sublayers[i];
        table.rows.push_back({s.at("site").get<std::string>(), std::to_string(i + 1),
                              number_text(s.at("at_input"), "{:.3e}"),
                              number_text(s.at("at_sum"), "{:.3e}")});
      }
      description.tables.push_back(std::move(table));
    }
    Table table{"", {{"matrix", "weight", "gradient", "relative", "direction", "relative"}}, 1};
    for (const Json& m : g.at("matrices"))
      table.rows.push_back(
          {m.at("parameter").get<std::string>(), number_text(m.at("weight")),
           number_text(m.at("gradient"), "{:.3e}"), number_text(m.at("relative_gradient"), "{:.3f}"),
           number_text(m.at("direction"), "{:.3e}"), number_text(m.at("relative_direction"), "{:.3f}")});
    description.tables.push_back(std::move(table));
    const Json first = g.at("matrices").empty() ? Json::object() : g.at("matrices").front();
    if (first.contains("why"))
      description.notes.push_back(
          fmt::format("{}: no directions, {}.", subject_text(answer), first.at("why").get<std::string>()));
  }
  description.notes.push_back(
      "Root mean squares. At sum: of the loss's gradient where a sub-layer adds its branch, before any norm "
      "after it; at input: of what the sub-layer before is given. Direction: of the optimiser's last update "
      "without its learning rate. Relative: to the largest matrix inside blocks.");
  return description;
}

}  // namespace

Probe gradients_probe() {
  return {"gradients", "gradients at every sub-layer and of every matrix, beside the optimiser's updates",
          measure_gradients, describe_gradients};
}

}  // namespace evenkeel::probes
