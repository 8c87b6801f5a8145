#include "evenkeel/train/admin_profile.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/nonzero.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "evenkeel/base/error.h"
#include "evenkeel/base/moments.h"
#include "evenkeel/ops/storage.h"
#include "evenkeel/train/evaluate.h"

namespace evenkeel::train {
namespace {

/// The same for any number of threads: one number after the other.
double variance(const at::Tensor& x) {
  Moments moments;
  for (const double value : ops::numbers(x)) moments.add(value);
  return moments.non_finite > 0 ? std::nan("") : moments.variance();
}

/// "encoder.layers" of "encoder.layers.0.attn": sub-layers of one stack share it.
std::string stack_of(const std::string& site) {
  return site.substr(0, site.rfind('.', site.rfind('.') - 1));
}

}  // namespace

Json to_json(const AdminProfile& profile) {
  Json sublayers = Json::array();
  for (const AdminProfile::SubLayer& s : profile.sublayers)
    sublayers.push_back({{"site", s.site},
                         {"omega", s.omega},
                         {"shortcut_variance", s.shortcut_variance},
                         {"branch_variance", s.branch_variance}});
  return {{"start", enum_name(profile.start)}, {"sublayers", sublayers}};
}

CountedRows rows_without_padding(const models::Batch& batch) {
  const auto rows = [](const at::Tensor& ids, const at::Tensor& lengths) {
    if (!lengths.defined()) return at::Tensor();
    const at::Tensor holds_token = at::arange(ids.size(1), at::kLong) < lengths.unsqueeze(1);
    return holds_token.flatten().nonzero().squeeze(1);
  };
  return {rows(batch.sources, batch.source_lengths), rows(batch.inputs, batch.lengths)};
}

AdminProfiler::AdminProfiler(const std::vector<nn::Residual*>& sublayers, AdminStart start, CountedRows rows)
    : rows_(std::move(rows)) {
  profile_.start = start;
  for (nn::Residual* sublayer : sublayers) sublayers_[sublayer] = sublayer;
}

void AdminProfiler::residual(const nn::Residual& at, const at::Tensor& x, const at::Tensor& f) {
  const auto found = sublayers_.find(&at);
  if (found == sublayers_.end()) return;
  const std::string site = at.site(), stack = stack_of(site);
  const bool first = squares_.find(stack) == squares_.end();
  double& square = squares_[stack];
  const at::Tensor& rows = site.starts_with("encoder.") ? rows_.sources : rows_.targets;
  const auto counted = [&](const at::Tensor& values) {
    return variance(rows.defined() ? values.index_select(0, rows) : values);
  };
  AdminProfile::SubLayer s{site, first ? 1 : std::sqrt(square), counted(x), counted(f)};
  if (profile_.start == AdminStart::kProfile) {
    found->second->set_omega(s.omega);
    s.shortcut_variance *= s.omega * s.omega;
    square = s.shortcut_variance + s.branch_variance;
  } else {
    square = (first ? s.shortcut_variance : square) + s.branch_variance;
  }
  profile_.sublayers.push_back(s);
}

std::vector<nn::Residual*> sublayers_with_omega(nn::Module& model) {
  std::vector<nn::Residual*> found;
  model.visit([&](nn::Module& module) {
    auto* residual = dynamic_cast<nn::Residual*>(&module);
    if (residual != nullptr && !residual->omega_name().empty()) found.push_back(residual);
  });
  return found;
}

void set_omegas(const AdminProfile& profile, const std::vector<nn::Residual*>& sublayers) {
  if (profile.sublayers.size() != sublayers.size()) {
    throw InputError(
        fmt::format("Admin's profile has {} sub-layers and this model {}; measure it on a model of the same "
                    "[arch.depth]",
                    profile.sublayers.size(), sublayers.size()));
  }
  for (std::size_t i = 0; i < sublayers.size(); ++i) {
    const AdminProfile::SubLayer& s = profile.sublayers[i];
    if (s.site != sublayers[i]->site()) {
      throw InputError(
          fmt::format("Admin's profile has {} where this model has {}; measure it on a model of the "
                      "same [arch.depth]",
                      s.site, sublayers[i]->site()));
    }
    if (!(s.omega > 0 && std::isfinite(s.omega))) {
      throw InputError(
          fmt::format("Admin's profile gives omega = {} for {}, expected a positive number: the "
                      "first batch has no variance there; set arch.admin.start = \"o_log_n\"",
                      s.omega, s.site));
    }
    sublayers[i]->set_omega(s.omega);
  }
}

AdminProfile profile_admin(models::Model& model, AdminStart start, const models::Batch& batch,
                           nn::Context context, bool padding) {
  const c10::AutoGradMode no_grad(false);
  const std::vector<nn::Residual*> sublayers = sublayers_with_omega(model);
  for (nn::Residual* sublayer : sublayers) sublayer->set_omega(1);
  AdminProfiler profiler(sublayers, start, padding ? CountedRows() : rows_without_padding(batch));
  context.residuals = &profiler;
  model.forward(batch, context);
  set_omegas(profiler.profile(), sublayers);
  return profiler.profile();
}

std::optional<AdminProfile> profile_if_asked(const Experiment& experiment, models::Model& model,
                                             const models::Batch& first) {
  const AdminSpec& admin = experiment.arch.admin;
  if (!experiment.arch.has_scheme(ResidualScheme::kAdmin) || !admin.profiles()) return std::nullopt;
  nn::Context context = pass_context(experiment, 1);
  context.training = admin.profile_dropout;
  context.seed = static_cast<std::uint64_t>(experiment.train.seed);
  return profile_admin(model, admin.start, first, context, admin.profile_padding);
}

}  // namespace evenkeel::train
