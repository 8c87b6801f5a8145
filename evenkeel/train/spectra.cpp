#include "evenkeel/train/spectra.h"

#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "evenkeel/nn/embedding.h"
#include "evenkeel/nn/linear.h"
#include "evenkeel/ops/reduce.h"
#include "evenkeel/telemetry/entropy_bound.h"
#include "evenkeel/telemetry/metric_table.h"

namespace evenkeel::train {
namespace {

class Checker : public nn::QueryKeySink {
 public:
  void query_key(std::string_view site, const at::Tensor& q, const at::Tensor& k,
                 const kernels::ScoreRule& rule, bool causal, const at::Tensor& sink) override {
    EntropyChecks& check = checks.emplace_back(EntropyChecks{std::string(site), {}, ""});
    if (rule.kind != kernels::WeightRule::kSoftmax) check.why = "its weights are no distribution";
    else if (k.size(1) <= 2) check.why = "no row of the batch sees three keys";
    else check.heads = ops::entropy_check(q, k, rule, causal, sink);
  }
  std::vector<EntropyChecks> checks;
};

template <class Head>
void record_heads(const std::string& site, const char* quantity, const std::vector<Head>& heads,
                  double Head::*field, telemetry::Recorder& recorder) {
  std::vector<double> values;
  for (const Head& head : heads) values.push_back(head.*field);
  recorder.heads("attn/" + site + "/" + quantity, std::span<const double>(values));
}

}  // namespace

Spectra::Spectra(nn::Module& model) {
  std::vector<const nn::Param*> embeddings;
  model.visit([&](nn::Module& module) {
    if (const auto* linear = dynamic_cast<const nn::Linear*>(&module)) {
      linears_.push_back(linear);
      matrices_.push_back(&linear->weight);
    } else if (const auto* embedding = dynamic_cast<const nn::Embedding*>(&module)) {
      embeddings.push_back(&embedding->weight);
    } else if (const auto* attention = dynamic_cast<const nn::Attention*>(&module)) {
      attentions_.push_back(attention);
    }
  });
  for (const nn::Param* embedding : embeddings)  // that a head is tied to is there as what the head uses
    if (std::find(matrices_.begin(), matrices_.end(), embedding) == matrices_.end())
      matrices_.push_back(embedding);
  for (const nn::Param* matrix : matrices_) {
    blocks_.push_back(ops::power_block(matrix->value));
    update_blocks_.push_back(ops::power_block(matrix->value));
  }
  for (const nn::Attention* attention : attentions_) {
    const at::Tensor& weight = attention->k.weight.value;
    product_blocks_.push_back(at::zeros({attention->shape().heads, kernels::kBlock, weight.size(1)},
                                        weight.options().requires_grad(false)));
  }
}

Spectrum Spectra::measure(const nn::Context& context, const ops::PowerOptions& options) {
  const c10::AutoGradMode no_grad(false);
  std::vector<at::Tensor> in_use = nn::weights_in_use(linears_, context);
  for (std::size_t i = in_use.size(); i < matrices_.size(); ++i) in_use.push_back(matrices_[i]->value);
  std::vector<ops::PowerMatrix> all;
  for (std::size_t i = 0; i < in_use.size(); ++i) all.push_back({in_use[i], {}, blocks_[i]});
  const auto weight_of = [&](const nn::Linear& linear) {
    for (std::size_t i = 0;; ++i)
      if (linears_[i] == &linear) return in_use[i];
  };
  for (std::size_t a = 0; a < attentions_.size(); ++a) {
    const nn::Attention& attention = *attentions_[a];
    const at::Tensor q = weight_of(attention.q), k = weight_of(attention.k);
    const std::int64_t width = attention.shape().head_width();
    for (std::int64_t h = 0; h < attention.shape().heads; ++h)
      all.push_back({k.narrow(0, h * width, width), q.narrow(0, h * width, width), product_blocks_[a][h]});
  }
  const std::vector<kernels::TopSingular> tops = ops::top_singular_values(all, options);
  Spectrum spectrum;
  std::size_t next = 0;
  for (const nn::Param* matrix : matrices_)
    spectrum.matrices.push_back({matrix->name, matrix->value.size(0), matrix->value.size(1), tops[next++]});
  for (const nn::Attention* attention : attentions_) {
    HeadSpectra product{attention->site(), {}};
    for (std::int64_t h = 0; h < attention->shape().heads; ++h) product.heads.push_back(tops[next++]);
    spectrum.products.push_back(std::move(product));
  }
  return spectrum;
}

std::vector<UpdateSpectrum> Spectra::updates(const std::vector<at::Tensor>& directions,
                                             const ops::PowerOptions& options) {
  const c10::AutoGradMode no_grad(false);
  std::vector<ops::PowerMatrix> all;
  std::vector<UpdateSpectrum> updates;
  for (std::size_t i = 0; i < directions.size(); ++i) {
    const at::Tensor& delta = directions[i];
    if (!delta.defined()) continue;
    all.push_back({delta, {}, update_blocks_[i]});
    updates.push_back(
        {matrices_[i]->name,
         {},
         telemetry::inflation_bound(std::sqrt(ops::sum_squares(delta)), delta.size(0), delta.size(1))});
  }
  const std::vector<kernels::TopSingular> tops = ops::top_singular_values(all, options);
  for (std::size_t i = 0; i < updates.size(); ++i) updates[i].top = tops[i];
  return updates;
}

std::vector<std::pair<std::string, at::Tensor>> Spectra::state() const {
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (std::size_t i = 0; i < matrices_.size(); ++i) {
    named.emplace_back("spectrum/" + matrices_[i]->name, blocks_[i]);
    named.emplace_back("delta/" + matrices_[i]->name, update_blocks_[i]);
  }
  for (std::size_t a = 0; a < attentions_.size(); ++a)
    named.emplace_back("qk/" + attentions_[a]->site(), product_blocks_[a]);
  return named;
}

std::vector<at::Tensor> directions(const optim::Optimiser& optimiser, const Spectra& spectra) {
  std::vector<at::Tensor> all;
  for (const nn::Param* matrix : spectra.matrices()) {
    const auto at = std::find(optimiser.params().begin(), optimiser.params().end(), matrix);
    const bool trained = at != optimiser.params().end();
    all.push_back(trained ? optimiser.direction(static_cast<std::size_t>(at - optimiser.params().begin()))
                          : at::Tensor());
  }
  return all;
}

void record(const Spectrum& spectrum, telemetry::Recorder& recorder) {
  for (const MatrixSpectrum& matrix : spectrum.matrices) {
    recorder.scalar(telemetry::spectrum_key(matrix.parameter, "sigma"), matrix.top.sigma);
    recorder.scalar(telemetry::spectrum_key(matrix.parameter, "residual"), matrix.top.residual);
  }
  for (const HeadSpectra& product : spectrum.products) {
    const auto of_heads = [&](const char* name, double kernels::TopSingular::*field) {
      record_heads(product.site, name, product.heads, field, recorder);
    };
    of_heads("qk_sigma", &kernels::TopSingular::sigma);
    of_heads("qk_sigma_residual", &kernels::TopSingular::residual);
  }
}

void record(const std::vector<UpdateSpectrum>& updates, telemetry::Recorder& recorder) {
  for (const UpdateSpectrum& update : updates) {
    recorder.scalar(telemetry::spectrum_key(update.parameter, "delta_sigma"), update.top.sigma);
    recorder.scalar(telemetry::spectrum_key(update.parameter, "delta_bound"), update.bound);
  }
}

std::vector<Json> record(const std::vector<EntropyChecks>& checks, std::int64_t step,
                         telemetry::Recorder& recorder) {
  std::vector<Json> events;
  for (std::size_t layer = 0; layer < checks.size(); ++layer) {
    const EntropyChecks& check = checks[layer];
    if (check.heads.empty()) continue;
    record_heads(check.site, "entropy_slack", check.heads, &ops::EntropyCheck::slack, recorder);
    record_heads(check.site, "logit_q999", check.heads, &ops::EntropyCheck::logit_q999, recorder);
    record_heads(check.site, "entropy_bound", check.heads, &ops::EntropyCheck::bound, recorder);
    for (std::size_t head = 0; head < check.heads.size(); ++head) {
      if (!check.heads[head].violated) continue;
      events.push_back({{"step", step},
                        {"kind", "bound_violated"},
                        {"layer", layer},
                        {"head", head},
                        {"slack", check.heads[head].slack}});
    }
  }
  return events;
}

std::vector<EntropyChecks> check_entropy(const models::Model& model, const models::Batch& batch,
                                         std::int64_t sequence, nn::Context context) {
  const c10::AutoGradMode no_grad(false);
  Checker checker;
  context.query_key = &checker;
  model.forward(batch.example(sequence), context);
  return std::move(checker.checks);
}

}  // namespace evenkeel::train
