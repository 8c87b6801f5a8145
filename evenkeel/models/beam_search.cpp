#include "evenkeel/models/beam_search.h"

#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/topk.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "evenkeel/base/error.h"
#include "evenkeel/spec/data.h"

namespace evenkeel::models {
namespace {

using Ids = std::vector<std::int32_t>;

/// A target so far, after bos.
struct Prefix {
  Ids ids;
  double sum = 0;  ///< of ln p
};

/// The best sentence that has ended.
struct Best {
  Ids ids;
  double score = -std::numeric_limits<double>::infinity();
  std::int64_t ended = 0;

  void end(const Prefix& prefix, double end_log_probability, double length_penalty) {
    ++ended;
    const auto length = static_cast<double>(prefix.ids.size() + 1);
    const double candidate = (prefix.sum + end_log_probability) / std::pow(length, length_penalty);
    if (!(candidate > score)) return;
    score = candidate;
    ids = prefix.ids;
  }
};

/// ln p of the next id after every prefix, [prefixes, V] double; never bos or padding.
at::Tensor next_log_probabilities(const Seq2Seq& model, const std::vector<Prefix>& beam, const Memory& memory,
                                  const nn::Context& context) {
  const std::int64_t rows = std::ssize(beam), time = std::ssize(beam.front().ids) + 1;
  at::Tensor inputs = at::full({rows, time}, std::int64_t{PairIds::kBos}, at::kLong);
  for (std::int64_t row = 0; row < rows; ++row) {
    const Ids& ids = beam[static_cast<std::size_t>(row)].ids;
    std::copy(ids.begin(), ids.end(), inputs.data_ptr<std::int64_t>() + row * time + 1);
  }
  const std::int64_t tokens = memory.values.size(0), width = memory.values.size(1);
  const Memory repeated{
      memory.values.unsqueeze(0).expand({rows, tokens, width}).reshape({rows * tokens, width}), {}};
  const at::Tensor logits = model.decode(inputs, {}, repeated, context);
  at::Tensor next = at::log_softmax(logits.view({rows, time, -1}).select(1, time - 1).to(at::kDouble), -1);
  for (const std::int32_t never : {PairIds::kBos, PairIds::kPad})
    next.select(1, never).fill_(-std::numeric_limits<double>::infinity());
  return next.contiguous();
}

struct Candidate {
  double sum;
  std::size_t from;  ///< prefix
  std::int32_t id;
};

/// The best 2 `wanted` ways to go on from every prefix by one id, best first: enough for `wanted` that do not
/// end here. Of equal ones the first prefix's smallest id comes first.
std::vector<Candidate> continuations(const std::vector<Prefix>& beam, const at::Tensor& next,
                                     std::int64_t wanted) {
  const std::int64_t each = std::min<std::int64_t>(2 * wanted, next.size(1));
  const auto [values, ids] = at::topk(next, each);
  std::vector<Candidate> found;
  for (std::size_t from = 0; from < beam.size(); ++from)
    for (std::int64_t i = 0; i < each; ++i) {
      const std::int64_t at = static_cast<std::int64_t>(from) * each + i;
      const double sum = beam[from].sum + values.data_ptr<double>()[at];
      if (std::isfinite(sum))
        found.push_back({sum, from, static_cast<std::int32_t>(ids.data_ptr<std::int64_t>()[at])});
    }
  std::sort(found.begin(), found.end(), [](const Candidate& a, const Candidate& b) {
    return std::tuple(-a.sum, a.from, a.id) < std::tuple(-b.sum, b.from, b.id);
  });
  return found;
}

}  // namespace

Ids translate(const Seq2Seq& model, const Ids& source, const BeamSearch& search, const nn::Context& context) {
  const c10::AutoGradMode no_grad(false);
  const std::vector<std::int64_t> wide(source.begin(), source.end());
  const Memory memory = model.encode(at::tensor(wide).unsqueeze(0), {}, context);
  const auto wished = static_cast<std::int64_t>(search.longest_factor * static_cast<double>(source.size())) +
                      search.longest_extra;
  const std::int64_t longest = std::min(wished, model.longest());
  std::vector<Prefix> beam(1);
  Best best;
  for (std::int64_t length = 1; !beam.empty() && best.ended < search.beam; ++length) {
    const at::Tensor next = next_log_probabilities(model, beam, memory, context);
    if (length == longest) {  // only the end is left
      const at::Tensor ends = next.select(1, PairIds::kEnd).contiguous();
      for (std::size_t b = 0; b < beam.size(); ++b)
        best.end(beam[b], ends.data_ptr<double>()[b], search.length_penalty);
      break;
    }
    std::vector<Prefix> longer;
    std::int64_t rank = 0;
    for (const Candidate& c : continuations(beam, next, search.beam)) {
      if (std::ssize(longer) == search.beam) break;
      const bool among_best = rank++ < search.beam;
      if (c.id != PairIds::kEnd) {
        longer.push_back({beam[c.from].ids, c.sum});
        longer.back().ids.push_back(c.id);
      } else if (among_best) {
        best.end(beam[c.from], c.sum - beam[c.from].sum, search.length_penalty);
      }
    }
    beam = std::move(longer);
  }
  if (best.ended == 0)
    throw InputError(
        "the model's logits are not finite, so nothing can be translated; choose an earlier --step");
  return best.ids;
}

}  // namespace evenkeel::models
