#include "evenkeel/optim/optimiser.h"

#include <algorithm>
#include <stdexcept>

#include "evenkeel/optim/adagrad.h"
#include "evenkeel/optim/adam.h"
#include "evenkeel/optim/adam_atan2.h"
#include "evenkeel/optim/adamw.h"
#include "evenkeel/optim/hyperball.h"
#include "evenkeel/optim/lamb.h"
#include "evenkeel/optim/lars.h"
#include "evenkeel/optim/muon.h"
#include "evenkeel/optim/radam.h"
#include "evenkeel/optim/sgd.h"
#include "evenkeel/optim/stable_adamw.h"

namespace evenkeel::optim {
namespace {

bool all(const nn::Param&) {
  return true;
}
bool hidden_matrices(const nn::Param& param) {
  return param.role == nn::Role::kMatrix && param.value.dim() == 2;
}
bool hidden_and_head(const nn::Param& param) {
  return hidden_matrices(param) || (param.role == nn::Role::kHead && param.value.dim() == 2);
}

template <class Rule>
std::unique_ptr<UpdateRule> make(std::vector<nn::Param*> params, const OptimSpec& spec) {
  return std::make_unique<Rule>(std::move(params), spec);
}

struct Row {
  bool (*takes)(const nn::Param&);
  std::unique_ptr<UpdateRule> (*make)(std::vector<nn::Param*>, const OptimSpec&);
  bool is_rest = false;  ///< what the algorithm's own rule is not for: optim.rest_lr_factor counts
};

std::vector<Row> rows(OptimiserKind kind) {
  switch (kind) {
    case OptimiserKind::kAdamW:
      return {{all, make<AdamW>}};
    case OptimiserKind::kAdam:
      return {{all, make<Adam>}};
    case OptimiserKind::kRAdam:
      return {{all, make<RAdam>}};
    case OptimiserKind::kSgd:
      return {{all, make<Sgd>}};
    case OptimiserKind::kLars:
      return {{all, make<Lars>}};
    case OptimiserKind::kAdagrad:
      return {{all, make<Adagrad>}};
    case OptimiserKind::kLamb:
      return {{all, make<Lamb>}};
    case OptimiserKind::kAdamAtan2:
      return {{all, make<AdamAtan2>}};
    case OptimiserKind::kStableAdamW:
      return {{all, make<StableAdamW>}};
    case OptimiserKind::kMuon:
      return {{hidden_matrices, make<Muon>}, {all, make<AdamW>, true}};
    case OptimiserKind::kAdamH:
      return {{hidden_and_head, make<AdamH>}, {all, make<AdamW>, true}};
    case OptimiserKind::kMuonH:
      return {{hidden_matrices, make<MuonH>}, {hidden_and_head, make<AdamH>}, {all, make<AdamW>, true}};
  }
  throw std::logic_error("an optimiser without implementation");
}

}  // namespace

Optimiser::Optimiser(std::vector<nn::Param*> params, std::vector<Group> groups)
    : params_(std::move(params)), groups_(std::move(groups)) {
  for (const nn::Param* param : params_) {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const std::vector<nn::Param*>& members = groups_[g].rule->params();
      const auto found = std::find(members.begin(), members.end(), param);
      if (found == members.end()) continue;
      places_.push_back({g, static_cast<std::size_t>(found - members.begin())});
      break;
    }
  }
  if (places_.size() != params_.size()) throw std::logic_error("a parameter in no group of its optimiser");
}

void Optimiser::step(double lr, std::vector<UpdateStats>* stats, double gradient_factor) {
  ++steps_;
  std::vector<std::vector<UpdateStats>> of_groups(groups_.size());
  for (std::size_t g = 0; g < groups_.size(); ++g)
    groups_[g].rule->step(lr * groups_[g].rate, stats == nullptr ? nullptr : &of_groups[g], gradient_factor);
  if (stats == nullptr) return;
  stats->clear();
  for (const Place& place : places_) stats->push_back(of_groups[place.group][place.index]);
}

void Optimiser::zero_grad() {
  for (const nn::Param* param : params_) param->value.mutable_grad() = at::Tensor();
}

void Optimiser::set_steps(std::int64_t steps) {
  steps_ = steps;
  for (const Group& group : groups_) group.rule->set_steps(steps);
}

std::vector<std::pair<std::string, at::Tensor>> Optimiser::state() const {
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (const Place& place : places_)
    for (auto& one : groups_[place.group].rule->state(place.index)) named.push_back(std::move(one));
  return named;
}

void Optimiser::set_eps(double eps) {
  for (const Group& group : groups_) group.rule->set_eps(eps);
}

double Optimiser::rate_of(std::size_t i) const {
  const Group& group = groups_[places_[i].group];
  return group.rate * group.rule->rate_of(places_[i].index);
}

at::Tensor Optimiser::preconditioner(std::size_t i) const {
  return groups_[places_[i].group].rule->preconditioner(places_[i].index);
}

at::Tensor Optimiser::direction(std::size_t i) const {
  return groups_[places_[i].group].rule->direction(places_[i].index);
}

std::vector<nn::OpUse> Optimiser::op_uses() const {
  std::vector<nn::OpUse> uses;
  for (const Group& group : groups_) uses.push_back(group.rule->op_use());
  return uses;
}

std::unique_ptr<Optimiser> make_optimiser(std::vector<nn::Param*> params, const OptimSpec& spec) {
  std::erase_if(params, [](const nn::Param* param) { return !param->trainable; });
  std::vector<Optimiser::Group> groups;
  std::vector<nn::Param*> left = params;
  for (const Row& row : rows(spec.algorithm)) {
    const auto rest =
        std::stable_partition(left.begin(), left.end(), [&](const nn::Param* p) { return row.takes(*p); });
    std::vector<nn::Param*> taken(left.begin(), rest);
    left.erase(left.begin(), rest);
    if (taken.empty()) continue;
    OptimSpec own = spec;
    const double rate = row.is_rest ? spec.rest_lr_factor : 1;
    own.lr *= rate;
    groups.push_back({row.make(std::move(taken), own), rate});
  }
  return std::make_unique<Optimiser>(std::move(params), std::move(groups));
}

}  // namespace evenkeel::optim
