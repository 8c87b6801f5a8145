#include <array>

#include "evenkeel/reference/tables.h"

namespace evenkeel::reference {
namespace {

constexpr const char* kMoments = "two tensors: exp_avg, exp_avg_sq";
constexpr const char* kMomentum = "one tensor: momentum_buffer";
constexpr const char* kKernel = "one fused pass over parameters, gradients and state (`kernels/adamw`)";
constexpr const char* kElementary = "elementary tensor operations, a pass each";

constexpr std::array kOptimisers{
    Optimiser{.kind = OptimiserKind::kAdamW,
              .title = "AdamW",
              .formula = "Delta = mhat / (sqrt(vhat) + eps),   s = lr / peak\n"
                         "independent   p <- p - (lr Delta + s lambda p)\n"
                         "coupled       p <- p - lr (Delta + lambda p)",
              .state = kMoments,
              .decay = "apart, independent of the rate or coupled to it",
              .settings = "optim.beta1 optim.beta2 optim.eps optim.decay_form",
              .cost = kKernel,
              .source = "Kingma & Ba 2014, arXiv 1412.6980; Loshchilov & Hutter 2017, arXiv 1711.05101; "
                        "Wortsman et al. 2023, arXiv 2309.14322 §3.2.2, signs corrected",
              .header = "evenkeel/optim/adamw.h"},
    Optimiser{.kind = OptimiserKind::kAdam,
              .title = "Adam with L2 decay",
              .formula = "g <- g + lambda p;   p <- p - lr mhat / (sqrt(vhat) + eps)",
              .state = kMoments,
              .decay = "L2: in the gradient, so in both moments",
              .settings = "optim.beta1 optim.beta2 optim.eps",
              .cost = kKernel,
              .source = "Kingma & Ba 2014, arXiv 1412.6980; torch.optim.Adam",
              .header = "evenkeel/optim/adam.h"},
    Optimiser{.kind = OptimiserKind::kRAdam,
              .title = "RAdam: Adam that waits until the variance of its second moment is known",
              .formula = "rho = 2 / (1 - b2) - 1,   rho_t = rho - 2 t b2^t / (1 - b2^t)\n"
                         "r_t = sqrt((rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t)) "
                         "if rho_t >= 5, else 0\n"
                         "Delta = r_t sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps);   "
                         "p <- p - lr (Delta + lambda p)",
              .state = kMoments,
              .decay = "apart, lr lambda",
              .settings = "optim.beta1 optim.beta2 optim.eps",
              .cost = kKernel,
              .source = "Liu et al. 2020, arXiv 1908.03265, in the form of the code of Admin (arXiv "
                        "2004.08249)",
              .header = "evenkeel/optim/radam.h"},
    Optimiser{.kind = OptimiserKind::kSgd,
              .title = "Stochastic gradient descent with heavy-ball momentum mu",
              .formula = "b <- mu b + (g + lambda p);   p <- p - lr b",
              .state = kMomentum,
              .decay = "L2: in the gradient",
              .settings = "optim.momentum",
              .cost = kElementary,
              .source = "Polyak 1964; torch.optim.SGD without dampening",
              .header = "evenkeel/optim/sgd.h"},
    Optimiser{.kind = OptimiserKind::kLars,
              .title = "LARS: momentum over gradients that every tensor scales by its trust ratio",
              .formula = "r = c |p| / (|g| + lambda |p|);   b <- mu b + lr r (g + lambda p);   p <- p - b",
              .state = kMomentum,
              .decay = "L2: in the gradient that the trust ratio scales",
              .settings = "optim.momentum optim.trust_coefficient optim.trust_gains optim.trust_gammas",
              .cost = "elementary tensor operations, a pass each, and two norms of every tensor",
              .source = "You, Gitman & Ginsburg 2017, arXiv 1708.03888, algorithm 1",
              .header = "evenkeel/optim/lars.h"},
    Optimiser{.kind = OptimiserKind::kAdagrad,
              .title = "Adagrad",
              .formula = "g <- g + lambda p;   a <- a + g^2;   p <- p - lr g / (sqrt(a) + eps)",
              .state = "one tensor: sum",
              .decay = "L2: in the gradient",
              .settings = "optim.eps",
              .cost = kElementary,
              .source = "Duchi, Hazan & Singer 2011, JMLR 12; torch.optim.Adagrad",
              .header = "evenkeel/optim/adagrad.h"},
    Optimiser{.kind = OptimiserKind::kLamb,
              .title = "LAMB: Adam's direction at a length that every tensor sets by its own",
              .formula = "r = mhat / (sqrt(vhat) + eps) + lambda p;   p <- p - lr |p| / |r| r",
              .state = kMoments,
              .decay = "in what the trust ratio scales",
              .settings = "optim.beta1 optim.beta2 optim.eps optim.trust_gains optim.trust_gammas",
              .cost = "elementary tensor operations, a pass each, and two norms of every tensor",
              .source = "You et al. 2020, arXiv 1904.00962, algorithm 2 with phi the identity",
              .header = "evenkeel/optim/lamb.h"},
    Optimiser{.kind = OptimiserKind::kAdamAtan2,
              .title = "Adam-atan2: no epsilon, and steps that are bounded",
              .formula = "Delta = 1.27 atan2(mhat, sqrt(vhat));   p <- p - lr (Delta + lambda p)",
              .state = kMoments,
              .decay = "apart, lr lambda",
              .settings = "optim.beta1 optim.beta2",
              .cost = kElementary,
              .source = "Everett et al. 2024, arXiv 2407.05872",
              .header = "evenkeel/optim/adam_atan2.h"},
    Optimiser{.kind = OptimiserKind::kStableAdamW,
              .title = "StableAdamW: AdamW with the update clipping of Adafactor",
              .formula = "R = sqrt(mean(g^2 / max(vhat, eps^2))) over the tensor;   lr' = lr / max(1, R)\n"
                         "p <- p - lr' (mhat / (sqrt(vhat) + eps) + lambda p)",
              .state = kMoments,
              .decay = "apart, lr' lambda",
              .settings = "optim.beta1 optim.beta2 optim.eps",
              .cost = "elementary tensor operations, a pass each, and a mean over every tensor",
              .source = "Wortsman et al. 2023, arXiv 2304.13013, algorithm 2; Shazeer & Stern 2018, arXiv "
                        "1804.04235",
              .header = "evenkeel/optim/stable_adamw.h"},
    Optimiser{
        .kind = OptimiserKind::kMuon,
        .title = "Muon: orthogonal updates of the matrices of blocks, beside AdamW",
        .formula = "m = mu m + (1 - mu) g;   u = (1 - mu) g + mu m (nesterov) or m\n"
                   "O = five Newton-Schulz steps from u / |u|;   p <- p - lr s O - decay as of AdamW\n"
                   "s: match_rms_adamw 0.2 sqrt(max(out, in)), original sqrt(max(1, out / in)), "
                   "spectral sqrt(out / in)\n"
                   "embeddings, head, gains and biases: AdamW at lr rest_lr_factor",
        .state = "matrices one tensor: momentum_buffer; the rest two",
        .decay = "apart, independent of the rate or coupled to it",
        .settings = "optim.muon optim.rest_lr_factor optim.beta1 optim.beta2 optim.eps optim.decay_form",
        .cost = "5 (4 m^2 n + 2 m^3) operations for a matrix of sides m <= n: 5 D / tokens of what a square "
                "matrix takes in the step",
        .source = "Jordan et al. 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025, arXiv 2502.16982; "
                  "torch.optim.Muon",
        .header = "evenkeel/optim/muon.h"},
    Optimiser{.kind = OptimiserKind::kAdamH,
              .title = "AdamH (Hyperball): matrices move on the sphere of their first norm",
              .formula = "R = |W| before the first update;   u = mhat / (sqrt(vhat) + eps)\n"
                         "W <- R N(W - lr R N(u)),   N(x) = x / |x|;   of blocks and head\n"
                         "embeddings, gains and biases: AdamW without decay at lr rest_lr_factor",
              .state = "matrices two tensors and the radius; the rest two tensors",
              .decay = "none",
              .settings = "optim.rest_lr_factor optim.beta1 optim.beta2 optim.eps",
              .cost = "elementary tensor operations, a pass each, and two norms of every matrix",
              .source = "arXiv 2606.16899",
              .header = "evenkeel/optim/hyperball.h"},
    Optimiser{
        .kind = OptimiserKind::kMuonH,
        .title = "MuonH (Hyperball): the same with the direction of Muon",
        .formula = "W <- R N(W - lr R N(O)),   O of Muon, for the matrices of blocks; the head as AdamH",
        .state = "matrices one tensor and the radius; the head two and the radius; the rest two",
        .decay = "none",
        .settings = "optim.muon.momentum optim.muon.nesterov optim.muon.steps optim.rest_lr_factor "
                    "optim.beta1 optim.beta2 optim.eps",
        .cost = "that of Muon, and two norms of every matrix",
        .source = "arXiv 2606.16899",
        .header = "evenkeel/optim/hyperball.h"},
};

}  // namespace

std::span<const Optimiser> optimisers() {
  return kOptimisers;
}

}  // namespace evenkeel::reference
