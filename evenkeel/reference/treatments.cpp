#include <array>

#include "evenkeel/reference/tables.h"

namespace evenkeel::reference {
namespace {

constexpr const char* kAttention = "Attention";
constexpr const char* kMatrices = "Matrices";
constexpr const char* kOutput = "Output and loss";
constexpr const char* kUpdate = "Gradient, learning rate and decay";
constexpr const char* kStream = "Residual stream";

constexpr std::array kTreatments{
    Treatment{.group = kAttention,
              .field = "interventions.qk_norm",
              .title = "LayerNorm of queries and keys (qk-norm)",
              .formula = "q <- g_q LN(q),   k <- g_k LN(k),   before the rotation and the dot product\n"
                         "per_head       statistics over K, one gain [K] for all heads of a layer\n"
                         "per_head_own   statistics over K, gains [H, K]\n"
                         "whole_dim      statistics and gain over D, before the split into heads",
              .effect = "Attention logits no longer grow with the size of the weights: with statistics per "
                        "head |logit| <= sqrt(K) max |g_q| max |g_k|.",
              .settings = "",
              .metrics = "attn/{layer}/logit_max attn/{layer}/q_norm attn/{layer}/k_norm "
                         "attn/{layer}/entropy_norm",
              .cost = "1.02 times the step at S and at M, measured",
              .source = "Dehghani et al. 2023, arXiv 2302.05442; Wortsman et al. 2023, arXiv 2309.14322 "
                        "§3.1.1 and E.8",
              .header = "evenkeel/interventions/qk_norm.h"},
    Treatment{.group = kAttention,
              .field = "interventions.attention_scale",
              .title = "Attention scale 1 / K",
              .formula = "z = q.k / sqrt(K)   (root_width)      z = q.k / K   (width)",
              .effect = "Logits of aligned queries and keys stay of order one as heads widen.",
              .settings = "",
              .metrics = "attn/{layer}/logit_rms attn/{layer}/logit_max",
              .cost = "none: another constant",
              .source = "Yang et al. 2022, arXiv 2203.03466; Wortsman et al. 2023, arXiv 2309.14322 E.6",
              .header = "evenkeel/interventions/attention_scale.h"},
    Treatment{.group = kAttention,
              .field = "interventions.attention_softcap",
              .title = "Soft cap of attention logits",
              .formula = "z <- c tanh(z / c),   after scale and temperature, before the mask",
              .effect = "Attention logits stay below c. The slope is 0.42 at z = c and 2.5e-5 at 6 c, so a "
                        "logit far beyond the cap hardly learns any more.",
              .settings = "",
              .metrics = "attn/{layer}/logit_absmax attn/{layer}/entropy_norm",
              .cost = "a tanh for each visible pair, in the attention kernels",
              .source = "Gemma Team 2024, arXiv 2408.00118, with c = 50",
              .header = "evenkeel/interventions/attention_softcap.h"},
    Treatment{.group = kAttention,
              .field = "interventions.attention_sink",
              .title = "Attention sink: softmax off by one, or a learned logit",
              .formula = "a_ij = exp(z_ij) / (exp(s) + sum_j exp(z_ij))\n"
                         "off_by_one   s = 0\n"
                         "learnable    one s for each head, from 0",
              .effect =
                  "A head may look at nothing, so no token has to serve as a sink. Logits in records leave s "
                  "out; entropy counts it as an outcome.",
              .settings = "",
              .metrics = "attn/{layer}/sink_share attn/{layer}/entropy_norm",
              .cost = "one more exponential for each row, in the attention kernels",
              .source = "Miller 2023, \"Attention is off by one\"; OpenAI 2025, arXiv 2508.10925",
              .header = "evenkeel/interventions/attention_sink.h"},
    Treatment{
        .group = kAttention,
        .field = "interventions.attention_function",
        .title = "Pointwise attention: squared ReLU in place of the softmax",
        .formula = "a_ij = max(0, z_ij)^2 / sqrt(T),   T the length of the sequence",
        .effect =
            "Weights are no distribution, so entropy is not recorded. Logits grow without a softmax too, "
            "which shows that it is not the cause.",
        .settings = "",
        .metrics = "attn/{layer}/logit_max attn/{layer}/logit_rms",
        .cost = "less than the softmax, in the attention kernels",
        .source = "Wortsman et al. 2023, arXiv 2309.14322 E.11",
        .header = "evenkeel/interventions/attention_function.h"},
    Treatment{.group = kAttention,
              .field = "interventions.qk_clip",
              .title = "QK-Clip",
              .formula = "after an update, for every head whose largest logit S exceeded tau:\n"
                         "W_q <- sqrt(tau / S) W_q,   W_k <- sqrt(tau / S) W_k",
              .effect = "Logits above tau are scaled back to it, one step late. A head with S <= tau is left "
                        "alone, and so are the optimiser's moments.",
              .settings = "",
              .metrics = "attn/{layer}/qk_clip attn/{layer}/logit_max",
              .cost = "a product over the query and key rows of the heads that exceed tau; S comes from the "
                      "attention pass",
              .source = "Kimi Team 2025, arXiv 2507.20534, with alpha = 1/2",
              .header = "evenkeel/interventions/qk_clip.h"},
    Treatment{.group = kAttention,
              .field = "interventions.output_gate",
              .title = "Gate of what heads give",
              .formula = "o <- o sigmoid(x W_g),   before W_o;   x is what the queries read\n"
                         "headwise      W_g [D, H]: one factor for each head\n"
                         "elementwise   W_g [D, D]: one for each value of a head",
              .effect = "A head can close, and need not attend somewhere harmless to give nothing.",
              .settings = "",
              .metrics = "attn/{layer}/gate_mean attn/{layer}/gate_closed",
              .cost = "one more matrix a layer, D x H or D x D; it runs plain on both op paths",
              .source = "Qiu et al. 2025, arXiv 2505.06708",
              .header = "evenkeel/interventions/output_gate.h"},
    Treatment{.group = kAttention,
              .field = "interventions.kappa",
              .title = "Forced attention logits",
              .formula = "q <- sqrt(kappa) q / rms(q),   k <- sqrt(kappa) k / rms(k),   rms over a head's K",
              .effect = "No cure but a challenge, to see which logits hurt: random directions give logits of "
                        "standard deviation kappa, aligned ones kappa sqrt(K), and the model cannot shrink "
                        "them.",
              .settings = "",
              .metrics = "attn/{layer}/logit_rms attn/{layer}/logit_max",
              .cost = "elementary operations on queries and keys; the attention stays on the kernels",
              .source = "Wortsman et al. 2023, arXiv 2309.14322, Figure 10",
              .header = "evenkeel/interventions/kappa.h"},
    Treatment{.group = kMatrices,
              .field = "interventions.sigma_reparam",
              .title = "sigma-reparam",
              .formula = "W <- gamma / sigma(W) W,   sigma(W) = u^T W v its largest singular value, by power "
                         "iteration\n"
                         "on              gamma is trained\n"
                         "spectral_norm   gamma is kept as it starts\n"
                         "stats_only      W is used as it is, sigma only followed",
              .effect = "The spectral norm of every linear map is gamma, whatever updates do to W: meant "
                        "against the collapse of attention entropy. Embeddings are left alone, and so is "
                        "the output that seq2seq shares with them.",
              .settings = "interventions.sigma",
              .metrics = "sigma/{parameter}/sigma sigma/{parameter}/gamma sigma/{parameter}/residual "
                         "spectrum/{parameter}/sigma attn/{layer}/entropy_norm",
              .cost = "1.04 times the step at S and at M, measured",
              .source = "Zhai et al. 2023, arXiv 2303.06296; spectral_norm: Miyato et al. 2018, arXiv "
                        "1802.05957",
              .header = "evenkeel/interventions/sigma_reparam.h"},
    Treatment{.group = kMatrices,
              .field = "interventions.weight_norm",
              .title = "Weight normalisation",
              .formula = "w <- g w / |w|   for every row w of every linear map;   g starts at |w|",
              .effect = "Length and direction of a row are trained apart: the ablation of sigma-reparam.",
              .settings = "",
              .metrics = "spectrum/{parameter}/sigma tensor/{parameter}/param_rms",
              .cost = "not fused, and the manifest says so: three passes over the weights forward and some "
                      "more backward",
              .source = "Salimans & Kingma 2016, arXiv 1602.07868; Zhai et al. 2023, arXiv 2303.06296 §4",
              .header = "evenkeel/interventions/weight_norm.h"},
    Treatment{.group = kOutput,
              .field = "arch.head",
              .title = "Tied or own output matrix",
              .formula = "tied   logits = N(x) W^T with the table W of the embedding\n"
                         "own    logits = N(x) W_head^T",
              .effect = "A tied table gets the gradients of both its uses.",
              .settings = "",
              .metrics = "logits/out/logz tensor/{parameter}/update_rms",
              .cost = "none; tied saves V D parameters",
              .source = "Press & Wolf 2017, arXiv 1608.05859",
              .header = "evenkeel/models/model.h"},
    Treatment{.group = kOutput,
              .field = "interventions.z_loss",
              .title = "z-loss",
              .formula = "loss = CE + c mean (log Z)^2,   Z = sum over ids of exp(logit)",
              .effect = "Output logits cannot drift together, which cross-entropy does not see.",
              .settings = "",
              .metrics = "loss/train/z logits/out/logz logits/out/mean",
              .cost = "nothing beyond the loss pass, which has log Z",
              .source = "Chowdhery et al. 2022, arXiv 2204.02311; Wortsman et al. 2023, arXiv 2309.14322 "
                        "§3.1.2, with c = 1e-4",
              .header = "evenkeel/interventions/z_loss.h"},
    Treatment{.group = kOutput,
              .field = "interventions.output_softcap",
              .title = "Soft cap of the output logits",
              .formula = "y <- c tanh(y / c),   before cross-entropy and z-loss",
              .effect = "Output logits stay below c. A z-loss, and `logits/out/*` but for the metric below, "
                        "are those of the capped logits, so they see no drift beyond the cap.",
              .settings = "",
              .metrics = "logits/out/uncapped_absmax logits/out/mean",
              .cost = "a tanh for each output logit, forward and backward",
              .source = "Gemma Team 2024, arXiv 2408.00118, with c = 30",
              .header = "evenkeel/interventions/output_softcap.h"},
    Treatment{.group = kUpdate,
              .field = "interventions.mu_param",
              .title = "muParam",
              .formula =
                  "r = base width / D                simple        intermediate   full\n"
                  "lr of matrices (not embeddings)   r lr          r lr           r lr\n"
                  "std of the head at the start      s             sqrt(r) s      sqrt(r) s\n"
                  "attention scale                   1 / sqrt(K)   1 / sqrt(K)    1 / K\n"
                  "query matrices at the start       drawn         drawn          zeros\n"
                  "complete_p, with n = D / base width, l = L / base depth:\n"
                  "branches times l^-alpha, scores 1 / K, logits times 1 / n, epsilon times l^-alpha / n\n"
                  "lr of matrices of blocks l^(alpha-1) lr / n, of their gains and biases l^(alpha-1) lr",
              .effect = "The best learning rate stays where it is as the width grows; with complete_p as the "
                        "depth grows too.",
              .settings = "interventions.mu",
              .metrics = "tensor/{parameter}/update_rms tensor/{parameter}/param_rms",
              .cost = "none: factors of rates and of the start",
              .source = "Yang et al. 2022, arXiv 2203.03466; Wortsman et al. 2023, arXiv 2309.14322, Figure "
                        "8 and E.5; Dey et al. 2025, arXiv 2505.01618",
              .header = "evenkeel/interventions/mu_param.h"},
    Treatment{.group = kUpdate,
              .field = "interventions.rms_scaled_lr",
              .title = "Learning rates relative to the weights",
              .formula = "lr of tensor p <- lr max(RMS(p), 1e-3)",
              .effect = "Steps are relative to what they change, so a learning rate means the same for "
                        "tensors of all sizes, and another thing than without.",
              .settings = "",
              .metrics = "tensor/{parameter}/update_rms tensor/{parameter}/param_rms",
              .cost = "the RMS of every tensor in each update",
              .source = "Shazeer & Stern 2018, arXiv 1804.04235; Wortsman et al. 2023, arXiv 2309.14322, "
                        "Figure E.14",
              .header = "evenkeel/interventions/rms_scaled_lr.h"},
    Treatment{.group = kUpdate,
              .field = "interventions.freeze",
              .title = "Parameters that are not trained",
              .formula = "",
              .effect = "Those whose name matches get no gradient, update, decay or optimiser state, and "
                        "have no place in the clipped norm; they are saved with the model.",
              .settings = "",
              .metrics = "tensor/{parameter}/param_rms",
              .cost = "negative: what is frozen has no state and no update, nor records of either",
              .source = "Chen, Xie & He 2021, arXiv 2104.02057: a frozen patch projection",
              .header = "evenkeel/interventions/freeze.h"},
    Treatment{.group = kUpdate,
              .field = "interventions.no_decay",
              .title = "Parameters that weight decay spares",
              .formula = "lambda of tensor p <- 0",
              .effect = "Embeddings that decay shrink, and the gradient of the norm that reads them grows as "
                        "their size falls; spared ones keep theirs.",
              .settings = "",
              .metrics = "tensor/{parameter}/param_rms",
              .cost = "none",
              .source = "Megatron-LM; Takase et al. 2023, arXiv 2312.16903",
              .header = "evenkeel/interventions/no_decay.h"},
    Treatment{.group = kUpdate,
              .field = "optim.clip_norm",
              .title = "Clipping by the global norm",
              .formula = "g <- g min(1, clip_norm / |g|),   |g| over all parameters together",
              .effect = "A batch with a large gradient cannot weigh more than clip_norm in the optimiser's "
                        "moments.",
              .settings = "",
              .metrics = "grad/all/norm grad/all/norm_clipped",
              .cost = "a pass over the gradients",
              .source = "Pascanu et al. 2013, arXiv 1211.5063",
              .header = "evenkeel/optim/clip.h"},
    Treatment{
        .group = kUpdate,
        .field = "optim.adaptive_clip",
        .title = "Clipping by the past of the norms: ZClip, AdaGC",
        .formula = "zclip: z = (|g| - mu) / (sd + 1e-6);  z > 2.5:  |g| <- mu + 2.5^2 / z sd\n"
                   "       mu and sd^2 move with 0.97, after 25 steps that give the first\n"
                   "adagc: of each tensor  g <- g min(1, 1.05 gamma / |g|),  gamma <- 0.98 gamma + 0.02 |g|\n"
                   "       gamma from the least norm of the first 100 steps",
        .effect = "A spike is cut to about what gradients were before it, whatever their size. adagc rises "
                  "by 0.1 % a step at most, so growing gradients are throttled: watch the clipped share.",
        .settings = "",
        .metrics = "grad/all/norm_limit grad/all/clipped_tensors grad/all/norm_clipped",
        .cost = "zclip: some numbers; adagc: a pass over the gradients, and one over those it clips",
        .source = "Kumar et al. 2025, arXiv 2504.02507; Wang et al. 2025, arXiv 2502.11034",
        .header = "evenkeel/optim/gradient_guard.h"},
    Treatment{.group = kUpdate,
              .field = "optim.skip_step",
              .title = "Skipped steps",
              .formula = "skip when loss or |g| > mean + k s of the last 128 values, from the 64th step on",
              .effect =
                  "A batch that stands out changes nothing: no moment, no decay, no count of updates. Its "
                  "values enter the window, so a plateau is accepted after a few steps.",
              .settings = "",
              .metrics = "optim/all/skipped grad/all/norm",
              .cost = "256 numbers; a skipped step saves its update",
              .source = "allenai/OLMo-core, SkipStepOptimizer, k = 6",
              .header = "evenkeel/optim/skip_step.h"},
    Treatment{.group = kUpdate,
              .field = "optim.warmup",
              .title = "Warm-up",
              .formula = "the learning rate rises linearly from 0 to its peak over W updates",
              .effect = "A longer one lowers LR sensitivity and loss, most for large models, which need it "
                        "to survive the largest rates (Wortsman et al. 2023, Figure 5).",
              .settings = "optim.schedule",
              .metrics = "optim/all/lr",
              .cost = "none",
              .source = "Wortsman et al. 2023, arXiv 2309.14322, Figure 5",
              .header = "evenkeel/optim/schedule.h"},
    Treatment{.group = kUpdate,
              .field = "optim.decay_form",
              .title = "Independent weight decay",
              .formula = "independent   p <- p - (lr Delta + s lambda p),   s = lr / peak\n"
                         "coupled       p <- p - lr (Delta + lambda p)",
              .effect = "lambda takes away as much at every learning rate; LR sensitivity is lower than with "
                        "the coupled form (Wortsman et al. 2023, Figure 6). The default of AdamW.",
              .settings = "optim.weight_decay optim.decay_gains optim.decay_gammas",
              .metrics = "tensor/{parameter}/param_rms logits/out/mean",
              .cost = "none: part of the optimiser's pass",
              .source = "Loshchilov & Hutter 2017, arXiv 1711.05101; Wortsman et al. 2023, arXiv 2309.14322 "
                        "§3.2.2, signs corrected",
              .header = "evenkeel/optim/adamw.h"},
    Treatment{.group = kStream,
              .field = "interventions.embedding",
              .title = "Embedding scaled or normed",
              .formula = "scale   x_0 = sqrt(D) W[id]\n"
                         "norm    x_0 = N(W[id])",
              .effect =
                  "The stream begins at size one, large beside what sub-layers add, so their gradients are "
                  "bounded.",
              .settings = "",
              .metrics = "tensor/{parameter}/param_rms block/{layer}/out_rms",
              .cost = "scale: none; norm: one norm of the stream",
              .source = "Takase et al. 2023, arXiv 2312.16903",
              .header = "evenkeel/interventions/embedding_form.h"},
    Treatment{.group = kStream,
              .field = "arch.residual",
              .title = "Residual scheme",
              .formula = "",
              .effect = "How branches join the stream, where the norms stand and how matrices start: "
                        "[many schemes](residual_schemes.md), from pre-LN over Admin to LayerNorm "
                        "scaling.",
              .settings = "arch.decoder_residual arch.admin arch.norm arch.init",
              .metrics = "block/{layer}/out_rms",
              .cost = "a norm or a product of the stream for each sub-layer at most; Admin measures its "
                      "start once, on the first batch",
              .source = "the papers of the schemes",
              .header = "evenkeel/spec/residual.h"},
};

}  // namespace

std::span<const Treatment> treatments() {
  return kTreatments;
}

}  // namespace evenkeel::reference
