// Admin's profile: where omega starts, from the variances that the branches have on one batch before
// training.
//
//   code form   omega_1 = 1,  omega_{i+1}^2 = Var[omega_i x_{i-1}] + Var[f_i], each omega in place before the
//   next
//               branch is measured (the released code; equals Var[x_0] + sum_{j<=i} Var[f_j] where the inputs
//               are normed)
//   paper form  omega_{i+1}^2 = Var[x_0] + sum_{j<=i} Var[f_j], measured with every omega at 1
//
// Liu, Liu, Gao, Chen & Han 2020 (arXiv 2004.08249). Read literally the paper's sum has omega_1 = 0, which
// would drop the embedding; here both forms have Var[x_0]. Var is the population variance over all values of
// a tensor, in double; positions of padding count, as in the released code, unless they are left out. Each
// stack has a count of its own. No file and no second run: omega is saved with the model.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "evenkeel/base/json.h"
#include "evenkeel/models/model.h"
#include "evenkeel/nn/residual.h"
#include "evenkeel/spec/experiment.h"

namespace evenkeel::train {

struct AdminProfile {
  struct SubLayer {
    std::string site;  ///< "blocks.0.attn"
    double omega = 1;
    double shortcut_variance = 0;  ///< of omega x as the pass had it (the paper form's has omega 1)
    double branch_variance = 0;    ///< of f, dropout included
  };
  AdminStart start = AdminStart::kProfile;
  std::vector<SubLayer> sublayers;  ///< in the order in which they act
};

Json to_json(const AdminProfile& profile);

/// The rows of [B*T, D] values that count; undefined: all.
struct CountedRows {
  at::Tensor sources, targets;  ///< int64 indices into what the encoder, and what anything else computes
};
/// Those that hold a token.
CountedRows rows_without_padding(const models::Batch& batch);

/// Listens to one pass and, in the code form, sets the omegas on the way.
class AdminProfiler : public nn::ResidualSink {
 public:
  /// Of `sublayers` with an omega of their own; they must outlive this.
  AdminProfiler(const std::vector<nn::Residual*>& sublayers, AdminStart start, CountedRows rows = {});
  void residual(const nn::Residual& at, const at::Tensor& x, const at::Tensor& f) override;
  const AdminProfile& profile() const { return profile_; }

 private:
  std::map<const nn::Residual*, nn::Residual*> sublayers_;
  std::map<std::string, double> squares_;  ///< per stack, of the next omega
  CountedRows rows_;
  AdminProfile profile_;
};

/// Those of `model` that have an omega which is saved with it.
std::vector<nn::Residual*> sublayers_with_omega(nn::Module& model);

/// Puts a profile's omegas in place. Throws InputError when the profile is of a model of another depth, or an
/// omega is not a positive number.
void set_omegas(const AdminProfile& profile, const std::vector<nn::Residual*>& sublayers);

/// Measures on `batch` in `context` (whose `training` decides on dropout) and sets the omegas. `padding`:
/// whether its positions count.
AdminProfile profile_admin(models::Model& model, AdminStart start, const models::Batch& batch,
                           nn::Context context, bool padding = true);

/// What training does before anything else where the scheme starts from a measurement: on the first batch, as
/// `experiment` says. Nothing, and no profile, with other schemes.
std::optional<AdminProfile> profile_if_asked(const Experiment& experiment, models::Model& model,
                                             const models::Batch& first);

}  // namespace evenkeel::train
