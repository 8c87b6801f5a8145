// Muon: the momentum of a matrix is replaced by the orthogonal matrix nearest to it, roughly.
//
//   m = mu m + (1 - mu) g;   u = (1 - mu) g + mu m (Nesterov) or m;   O = newton_schulz(u)
//   p <- p - lr s O - lambda' p,   s by optim.muon.scale, lambda' as of AdamW by optim.decay_form
//
// Jordan et al. 2024 (kellerjordan.github.io/posts/muon); Liu et al. 2025, arXiv 2502.16982;
// torch.optim.Muon. For the matrices of blocks alone: queries, keys and values are matrices of their own
// here, never one that would be mixed. The size of the gradient does not matter, so the global clip, which
// acts before the momentum, changes only how one step weighs against others. O is of fp32; the reference has
// bf16. State: "momentum_buffer". Cost: ops/newton_schulz.h.
#pragma once

#include "evenkeel/optim/plain_rule.h"

namespace evenkeel::optim {

class Muon : public PlainRule {
 public:
  Muon(std::vector<nn::Param*> params, const OptimSpec& spec);
  nn::OpUse op_use() const override;

 protected:
  /// O of matrix i; advances its momentum.
  at::Tensor direction_of(std::size_t i, const at::Tensor& gradient);
  Change change(std::size_t i, const at::Tensor& gradient, double lr) override;
};

/// s of a matrix [rows, columns].
double muon_scale(MuonScale form, std::int64_t rows, std::int64_t columns);

}  // namespace evenkeel::optim
