#include <array>

#include "evenkeel/reference/tables.h"

namespace evenkeel::reference {
namespace {

constexpr std::array kSchemes{
    Scheme{ResidualScheme::kPreLn, "x + f(N(x))", "", "arXiv 2002.04745"},
    Scheme{ResidualScheme::kPostLn, "N(x + f(x))", "", "arXiv 1706.03762"},
    Scheme{ResidualScheme::kNone, "x + f(x)", "", "arXiv 2303.06296"},
    Scheme{ResidualScheme::kAdmin, "N(omega x + f(x)), omega a trained number per channel",
           "omega measured on the first batch, or in closed form", "arXiv 2004.08249"},
    Scheme{ResidualScheme::kDsInit, "as `post_ln`", "every matrix times l^(-1/2)", "arXiv 1908.11365"},
    Scheme{ResidualScheme::kFixup,
           "x + s f(x), s a trained number; scalar biases before matrices and activation",
           "s = 1; Q, K, V (2L)^(-1/6), first MLP matrix (2L)^(-1/2), last matrices 0", "arXiv 1901.09321"},
    Scheme{ResidualScheme::kTFixup, "as `none`", "V, O and MLP 0.67 L^(-1/4), embedding (9L)^(-1/4)",
           "Huang et al. 2020"},
    Scheme{ResidualScheme::kReZero, "x + s f(x), s a trained number per layer", "s = 0", "arXiv 2003.04887"},
    Scheme{ResidualScheme::kSkipInit, "x + s f(x), s a trained number per branch", "s = 0",
           "arXiv 2002.10444"},
    Scheme{ResidualScheme::kLayerScale, "x + s f(N(x)), s per channel",
           "s = 0.1 up to 18 layers, 1e-5 up to 24, 1e-6 beyond", "arXiv 2103.17239"},
    Scheme{ResidualScheme::kDeepNorm, "N(alpha x + f(x)), alpha = (2L)^(1/4)", "V, O and MLP (8L)^(-1/4)",
           "arXiv 2203.00555"},
    Scheme{ResidualScheme::kSandwichLn, "x + N(f(N(x)))", "last matrices (2L)^(-1/2)", "arXiv 2105.13290"},
    Scheme{ResidualScheme::kPeriLn, "x + N(f(N(x)))", "", "arXiv 2502.02732"},
    Scheme{ResidualScheme::kB2t, "as `post_ln`, and the MLP's sub-layer adds the block's input", "",
           "arXiv 2206.00330"},
    Scheme{ResidualScheme::kSubLn, "x + f(N(x)) with a norm before the last matrix of f",
           "V, O and MLP sqrt(ln 2L)", "arXiv 2210.06423"},
    Scheme{ResidualScheme::kMixLn, "`post_ln` in the first quarter of the layers, then `pre_ln`", "",
           "arXiv 2412.13795"},
    Scheme{ResidualScheme::kLayerNormScaling, "x + f(l^(-1/2) N(x))", "", "arXiv 2502.05795"},
};

}  // namespace

std::span<const Scheme> schemes() {
  return kSchemes;
}

}  // namespace evenkeel::reference
