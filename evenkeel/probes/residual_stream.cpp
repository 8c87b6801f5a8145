#include "evenkeel/probes/residual_stream.h"

#include <ATen/TensorOperators.h>

#include <algorithm>

#include "evenkeel/base/error.h"

namespace evenkeel::probes {
namespace {

std::string parent(const std::string& path) {
  return path.substr(0, path.rfind('.'));
}

}  // namespace

at::Tensor sublayer_sum(const nn::Residual& at, const at::Tensor& x, const at::Tensor& f) {
  const at::Tensor omega = at.omega();
  return omega.defined() ? omega * x + f : x + f;
}

at::Tensor sublayer_output(const nn::Residual& at, const at::Tensor& sum) {
  return at.record().norm_after ? at.norm()->forward(sum) : sum;
}

std::string layer_of(const std::string& site) {
  return parent(site);
}

std::string stack_of(const std::string& site) {
  return parent(parent(site));
}

std::vector<Stack> stacks_of(const std::vector<std::string>& sites) {
  std::vector<Stack> stacks;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    const std::string name = stack_of(sites[i]);
    auto found =
        std::find_if(stacks.begin(), stacks.end(), [&](const Stack& stack) { return stack.name == name; });
    if (found == stacks.end()) found = stacks.insert(stacks.end(), {name, {}});
    found->members.push_back(i);
  }
  return stacks;
}

double variance(const at::Tensor& x) {
  return x.detach().to(at::kDouble).var(/*unbiased=*/false).item<double>();
}

Pass pass_of(const Subject& subject) {
  bool any = false;
  subject.model->visit(
      [&](nn::Module& module) { any = any || dynamic_cast<nn::Residual*>(&module) != nullptr; });
  if (!any)
    throw InputError(
        "the model has no residual sub-layers, expected [arch.depth] >= 1; look into a deeper one");
  return [&subject](const nn::Context& context) {
    return training_loss(*subject.model, subject.batch, context);
  };
}

std::vector<std::size_t> shown_of(std::size_t n) {
  std::vector<std::size_t> shown;
  for (std::size_t i = 0; i < n; ++i)
    if (n <= 16 || i < 8 || i + 8 >= n) shown.push_back(i);
  return shown;
}

}  // namespace evenkeel::probes
