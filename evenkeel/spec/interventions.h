// The treatments that may be switched on; each is "off" by default or names its off value, and off is
// bit-identical to a build without it.
#pragma once

#include "evenkeel/config/field.h"

namespace evenkeel {

/// LayerNorm of queries and keys before the dot product (Dehghani et al. 2023, arXiv 2302.05442; Wortsman et
/// al. 2023 §3.1.1).
enum class QkNorm { kOff, kPerHead, kPerHeadOwn, kWholeDim };
template <>
struct EnumNames<QkNorm> {
  static constexpr std::array names{std::pair{QkNorm::kOff, "off"}, std::pair{QkNorm::kPerHead, "per_head"},
                                    std::pair{QkNorm::kPerHeadOwn, "per_head_own"},
                                    std::pair{QkNorm::kWholeDim, "whole_dim"}};
};

struct InterventionsSpec {
  QkNorm qk_norm = QkNorm::kOff;
  double z_loss = 1e-4;

  static void fields(auto& self, auto&& visit) {
    visit(
        "qk_norm", self.qk_norm,
        {.doc =
             "LayerNorm of queries and keys: off; per_head (statistics per head, one gain of K shared by the "
             "heads of a layer); per_head_own (one gain per head and channel); whole_dim (over D before the "
             "split).",
         .source = "arXiv 2309.14322 §3.1.1, E.8"});
    visit("z_loss", self.z_loss,
          {.doc = "Coefficient of the mean squared log Z of the output logits; 0 is off.",
           .source = "arXiv 2309.14322 §3.1.2",
           .min = 0});
  }
};

}  // namespace evenkeel
