#include "evenkeel/telemetry/metric_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace evenkeel::telemetry {
namespace {

using enum MetricShape;
using enum LineFile;

constexpr const char* kProxies = "Wortsman et al. 2023, arXiv 2309.14322";
constexpr const char* kDehghani = "Dehghani et al. 2023, arXiv 2302.05442";
constexpr const char* kZhai = "Zhai et al. 2023, arXiv 2303.06296";
constexpr const char* kSink = "OpenAI 2025, arXiv 2508.10925";
constexpr const char* kGate = "Qiu et al. 2025, arXiv 2505.06708";
constexpr const char* kKimi = "Kimi Team 2025, arXiv 2507.20534";
constexpr const char* kGemma2 = "Gemma Team 2024, arXiv 2408.00118";
constexpr const char* kPascanu = "Pascanu et al. 2013, arXiv 1211.5063";
constexpr const char* kZClip = "Kumar et al. 2025, arXiv 2504.02507";
constexpr const char* kAdaGc = "Wang et al. 2025, arXiv 2502.11034";
constexpr const char* kSkipStep = "allenai/OLMo-core, SkipStepOptimizer";

constexpr const char* kSpectra =
    "block power iteration of at most 60 passes over the weights, every telemetry.spectra_every steps";
constexpr const char* kEntropy =
    "a forward pass of one sequence and its attention in double, every telemetry.spectra_every steps";

constexpr const char* kSharpness = "up to 80 products with the Hessian, on 8 sequences of the probe batch";
constexpr const char* kCohen = "arXiv 2103.00065, 2207.14484";
constexpr const char* kProbeBatch = "one forward pass over 16 sequences of validation text, after the step";
constexpr std::array kTable{
    Metric{"step", "step", kScalar, kBoth, "none", "none", "Optimiser steps done.", ""},
    Metric{"tokens", "token", kScalar, kMetrics, "sum since the start", "none", "Training tokens seen.", ""},
    Metric{"optim/all/lr", "", kScalar, kMetrics, "none", "none", "Learning rate of this step.", kProxies},
    Metric{"loss/train/ce", "nat", kScalar, kMetrics, "mean over the tokens of the training batch",
           "the training pass", "Cross-entropy of the training batch, before the update.", kProxies},
    Metric{"loss/train/z", "nat", kScalar, kMetrics, "mean over the tokens of the training batch",
           "the training pass", "z-loss term, coefficient included; not part of loss/train/ce.", kProxies},
    Metric{"loss/valid/ce", "nat", kScalar, kMetrics, "mean over the tokens of the validation set",
           "one pass over the validation set on evaluation steps",
           "Validation cross-entropy after this step.", kProxies},
    Metric{"grad/all/norm", "", kScalar, kMetrics, "L2 norm over all parameters", "the clipping pass",
           "Global gradient norm before clipping.", kPascanu},
    Metric{"grad/all/norm_clipped", "", kScalar, kMetrics, "L2 norm over all parameters", "none",
           "Global gradient norm after clipping.", kPascanu},
    Metric{"grad/all/norm_limit", "", kScalar, kMetrics, "none", "none",
           "Norm that ZClip allows in this step; only with it.", kZClip},
    Metric{"grad/all/clipped_tensors", "", kScalar, kMetrics, "share of the tensors", "none",
           "Share of the tensors whose gradient AdaGC clips; only with it.", kAdaGc},
    Metric{"optim/all/skipped", "", kScalar, kMetrics, "none", "none",
           "1 when the step was skipped, else 0; only with optim.skip_step.", kSkipStep},
    Metric{"logits/out/mean", "", kScalar, kMetrics,
           "mean over tokens and over ids that occur in the training data", "the loss pass",
           "Mean output logit; it drifts when log Z is free.", kProxies},
    Metric{"logits/out/logz", "nat", kScalar, kMetrics, "mean over the tokens of the training batch",
           "the loss pass", "Mean log of the softmax normaliser Z of the output logits.", kProxies},
    Metric{"logits/out/uncapped_absmax", "", kScalar, kMetrics, "maximum magnitude over tokens and ids",
           "one pass over the logits on steps with full detail",
           "Largest magnitude of an output logit before interventions.output_softcap; only with it.",
           kGemma2},
    Metric{"attn/{layer}/logit_max", "", kPerHead, kHeads, "maximum over rows and visible keys",
           "the attention pass", "Largest signed attention logit, after scale and before softmax.",
           kDehghani},
    Metric{"attn/{layer}/logit_absmax", "", kPerHead, kHeads, "maximum magnitude over rows and visible keys",
           "the attention pass", "Largest magnitude of an attention logit.", kDehghani},
    Metric{"attn/{layer}/logit_rms", "", kPerHead, kHeads, "root mean square over rows and visible keys",
           "the attention pass", "RMS of the attention logits.", kProxies},
    Metric{"attn/{layer}/entropy", "nat", kPerHead, kHeads, "mean over rows with at least 2 visible keys",
           "the attention pass",
           "Entropy H of the attention probabilities of a row, before dropout; a sink is an outcome too. Not "
           "with interventions.attention_function = squared_relu, whose weights are no distribution.",
           kZhai},
    Metric{
        "attn/{layer}/entropy_norm", "", kPerHead, kHeads, "mean over rows with n >= 2 visible keys",
        "the attention pass",
        "H / ln n: 1 is uniform attention, 0 a single key; with a sink H / ln(n + 1). Recorded where entropy "
        "is.",
        kZhai},
    Metric{"attn/all/collapsed", "", kScalar, kHeads, "share of all heads", "none",
           "Share of the heads whose H / ln n is below the collapse detector's threshold.", kZhai},
    Metric{"attn/{layer}/sink_share", "", kPerHead, kHeads, "mean over rows with a visible key",
           "the attention pass",
           "Share of attention that the sink gets; only with interventions.attention_sink.", kSink},
    Metric{"attn/{layer}/q_norm", "", kPerHead, kHeads, "mean over positions", "the attention pass",
           "L2 norm of the query vectors that enter the product.", kProxies},
    Metric{"attn/{layer}/k_norm", "", kPerHead, kHeads, "mean over positions", "the attention pass",
           "L2 norm of the key vectors that enter the product.", kProxies},
    Metric{"attn/{layer}/qk_cosine", "", kPerHead, kHeads, "mean over visible pairs", "the attention pass",
           "Cosine between query and key.", kProxies},
    Metric{"attn/{layer}/qk_clip", "", kPerHead, kHeads, "none", "the attention pass",
           "What interventions.qk_clip multiplies the head's logits by after the update, 1 or tau over the "
           "largest; only with it.",
           kKimi},
    Metric{"attn/{layer}/gate_mean", "", kPerHead, kHeads, "mean over tokens, and over the values of a head",
           "one pass over the gates on steps with full detail",
           "Mean of interventions.output_gate; only with it.", kGate},
    Metric{"attn/{layer}/gate_closed", "", kPerHead, kHeads, "share of tokens, and of the values of a head",
           "one pass over the gates on steps with full detail",
           "Share of gates below 0.1; only with interventions.output_gate.", kGate},
    Metric{"attn/{layer}/qk_sigma", "", kPerHead, kHeads, "none", kSpectra,
           "Largest singular value of the head's W_Q W_K^T as in use, without 1 / sqrt(K).", kZhai},
    Metric{"attn/{layer}/qk_sigma_residual", "", kPerHead, kHeads, "none", kSpectra,
           "|A^T u - sigma v| / sigma of the vectors found for qk_sigma.", kZhai},
    Metric{"attn/{layer}/logit_q999", "", kPerHead, kHeads,
           "0.999 quantile (nearest rank) over rows with n >= 2 visible keys, first sequence of the batch",
           kEntropy,
           "What all but a thousandth of the attention logits stay below: logit_max without its one pair. "
           "Recorded "
           "where entropy is.",
           kProxies},
    Metric{"probe/{layer}/logit_max", "", kPerHead, kHeads, "maximum over rows and visible keys", kProbeBatch,
           "Largest attention logit on the probe batch; only with telemetry.probe_every.", kProxies},
    Metric{"probe/{layer}/logit_rms", "", kPerHead, kHeads, "root mean square over rows and visible keys",
           kProbeBatch, "RMS of the attention logits on the probe batch; only with telemetry.probe_every.",
           kProxies},
    Metric{"probe/{layer}/entropy", "nat", kPerHead, kHeads, "mean over rows with at least 2 visible keys",
           kProbeBatch, "Entropy of attention on the probe batch; only with telemetry.probe_every.", kZhai},
    Metric{"probe/out/logit_max", "", kScalar, kHeads, "maximum over tokens and ids", kProbeBatch,
           "Largest output logit on the probe batch; only with telemetry.probe_every.", kProxies},
    Metric{
        "attn/{layer}/entropy_bound", "nat", kPerHead, kHeads,
        "mean over rows with n >= 2 visible keys, first sequence of the batch", kEntropy,
        "Theorem 3.1's lower bound of H at the row's centred logit norm; a sink is one logit more. Recorded "
        "where entropy is.",
        kZhai},
    Metric{
        "attn/{layer}/entropy_slack", "nat", kPerHead, kHeads,
        "minimum over rows with n >= 3 visible keys (2 with a sink), first sequence of the batch", kEntropy,
        "H less that bound, in double; negative beyond rounding means that something computes wrong.", kZhai},
    Metric{"block/{layer}/out_rms", "", kScalar, kHeads, "root mean square over tokens and channels",
           "one pass over the block's output", "RMS of the residual stream after the block.", kProxies},
    Metric{"curvature/all/sharpness", "", kScalar, kHeads, "none", kSharpness,
           "Largest eigenvalue of the Hessian of the training loss, after the step; only with "
           "telemetry.sharpness_every.",
           kCohen},
    Metric{"curvature/all/sharpness_preconditioned", "", kScalar, kHeads, "none", kSharpness,
           "Largest eigenvalue of P^-1/2 H P^-1/2, P what the optimiser divides by; where it has one.",
           kCohen},
    Metric{"curvature/all/edge_ratio", "", kScalar, kHeads, "none", kSharpness,
           "That eigenvalue over the largest one at which the optimiser is stable at this step's learning "
           "rate: the "
           "edge of stability is 1; where an edge is known.",
           kCohen},
    Metric{"curvature/all/residual", "", kScalar, kHeads, "the worse of the two", kSharpness,
           "|A y - theta y| / |theta| of the eigenvalue found; above 0.001 it is an underestimate.", kCohen},
    Metric{"block/{layer}/grad_rms", "", kScalar, kHeads, "root mean square over the block's parameters",
           "the clipping pass", "RMS of the block's gradient before clipping.", kProxies},
    Metric{"block/{layer}/grad_rms_clipped", "", kScalar, kHeads,
           "root mean square over the block's parameters", "the optimiser pass",
           "RMS of the block's gradient after clipping, which is what epsilon stands beside.", kProxies},
    Metric{"tensor/{parameter}/grad_rms", "", kScalar, kHeads, "root mean square over the tensor",
           "the optimiser pass", "RMS of the gradient after clipping.", kProxies},
    Metric{"sigma/{parameter}/sigma", "", kPerHead, kHeads, "one per group of rows that shares it",
           "none: it is the model's own state", "sigma-reparam's estimate of the largest singular value.",
           kZhai},
    Metric{"sigma/{parameter}/residual", "", kPerHead, kHeads, "one per group of rows", "none",
           "|W^T v - (v^T W u) u| / sigma at sigma-reparam's last power iteration.", kZhai},
    Metric{"sigma/{parameter}/gamma", "", kPerHead, kHeads, "one per group of rows", "none",
           "sigma-reparam's gamma: the spectral norm of the matrix in use, up to the residual.", kZhai},
    Metric{"tensor/{parameter}/param_rms", "", kScalar, kHeads, "root mean square over the tensor",
           "the optimiser pass", "RMS of the parameter before the update.", kProxies},
    Metric{"tensor/{parameter}/update_rms", "", kScalar, kHeads, "root mean square over the tensor",
           "the optimiser pass", "RMS of the update as applied, learning rate and decay included.", kProxies},
    Metric{"tensor/{parameter}/delta_rms", "", kScalar, kHeads, "root mean square over the tensor",
           "the optimiser pass", "RMS of Adam's Delta: the update without learning rate and decay.",
           kProxies},
    Metric{"spectrum/{parameter}/sigma", "", kScalar, kHeads, "none", kSpectra,
           "Largest singular value of the matrix as in use, treatments included, before the update.", kZhai},
    Metric{"spectrum/{parameter}/residual", "", kScalar, kHeads, "none", kSpectra,
           "|A^T u - sigma v| / sigma of the vectors found: some singular value is that close to sigma.",
           kZhai},
    Metric{"spectrum/{parameter}/delta_sigma", "", kScalar, kHeads, "none", kSpectra,
           "Largest singular value of Adam's Delta of the parameter: the update without learning rate and "
           "decay.",
           kZhai},
    Metric{"spectrum/{parameter}/delta_bound", "", kScalar, kHeads, "none", "one pass over Delta",
           "Proposition 3.2's lower bound of delta_sigma: |Delta|_F / sqrt(min(m, n)).", kZhai},
};

// "layer00"; with two stacks "encoder_layer00", "decoder_layer00", and "cross_layer00" where they meet.
bool is_layer(std::string_view text) {
  for (const std::string_view stack : {"encoder_", "decoder_", "cross_"})
    if (text.starts_with(stack)) text.remove_prefix(stack.size());
  return text.size() >= 7 && text.starts_with("layer") &&
         std::all_of(text.begin() + 5, text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_parameter(std::string_view text) {
  return !text.empty() && text.find('/') == std::string_view::npos;
}

bool matches(std::string_view id, std::string_view key) {
  const auto open = id.find('{');
  if (open == std::string_view::npos) return id == key;
  const auto close = id.find('}');
  const std::string_view before = id.substr(0, open), after = id.substr(close + 1);
  if (key.size() <= before.size() + after.size() || !key.starts_with(before) || !key.ends_with(after))
    return false;
  const std::string_view site = key.substr(before.size(), key.size() - before.size() - after.size());
  return id.substr(open, close + 1 - open) == "{layer}" ? is_layer(site) : is_parameter(site);
}

const char* shape_name(MetricShape shape) {
  return shape == kScalar ? "scalar" : "head";
}
const char* file_name(LineFile file) {
  return file == kMetrics ? "metrics" : file == kHeads ? "heads" : "both";
}

}  // namespace

std::span<const Metric> metric_table() {
  return kTable;
}

const Metric* find_metric(std::string_view key) {
  const auto row =
      std::find_if(kTable.begin(), kTable.end(), [&](const Metric& m) { return matches(m.id, key); });
  return row == kTable.end() ? nullptr : &*row;
}

std::string tensor_key(std::string_view parameter, std::string_view quantity) {
  return fmt::format("tensor/{}/{}", parameter, quantity);
}

std::string layer_of(std::string_view parameter) {
  // "<stack>.<number>.", the stack "blocks" or "<name>.layers".
  for (const std::string_view mark : {"blocks.", ".layers."}) {
    const std::size_t at = parameter.find(mark);
    if (at == std::string_view::npos || (mark == "blocks." && at != 0)) continue;
    const std::size_t first = at + mark.size(), end = parameter.find('.', first);
    const std::string_view digits = parameter.substr(first, end - first);
    int layer = 0;
    const auto [last, error] = std::from_chars(digits.data(), digits.data() + digits.size(), layer);
    if (end == std::string_view::npos || error != std::errc() || last != digits.data() + digits.size())
      continue;
    const std::string stack = at == 0 ? "" : std::string(parameter.substr(0, at)) + "_";
    return fmt::format("{}layer{:02}", stack, layer);
  }
  return "";
}

std::string spectrum_key(std::string_view parameter, std::string_view quantity) {
  return fmt::format("spectrum/{}/{}", parameter, quantity);
}

Json metric_listing() {
  Json list = Json::array();
  for (const Metric& m : kTable) {
    list.push_back({{"id", m.id},
                    {"unit", m.unit},
                    {"shape", shape_name(m.shape)},
                    {"file", file_name(m.file)},
                    {"reduction", m.reduction},
                    {"cost", m.cost},
                    {"doc", m.doc},
                    {"source", m.source}});
  }
  return list;
}

std::string metric_listing_markdown() {
  std::string text =
      "| key | unit | shape | file | reduction | cost | what | source |\n|---|---|---|---|---|---|---|---|\n";
  for (const Metric& m : kTable) {
    text += fmt::format("| `{}` | {} | {} | {} | {} | {} | {} | {} |\n", m.id, m.unit, shape_name(m.shape),
                        file_name(m.file), m.reduction, m.cost, m.doc, m.source);
  }
  return text;
}

}  // namespace evenkeel::telemetry
