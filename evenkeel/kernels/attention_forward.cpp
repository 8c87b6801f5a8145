#include "evenkeel/kernels/attention.h"

#include <cmath>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evenkeel/kernels/attention_forward.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "evenkeel/kernels/attention_site-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr std::int64_t kKeyBlock = 256;  ///< keys whose scores for 32 queries are in cache together
constexpr float kLn2 = 0.69314718f, kInfinity = std::numeric_limits<float>::infinity();

/// Sums over the rows of one head of one sequence.
struct HeadSums {
  double logit_max = -std::numeric_limits<double>::infinity(), logit_absmax = 0, squares = 0, entropy = 0,
         entropy_norm = 0, q_norm = 0, k_norm = 0, cosine = 0, sink = 0;
  double rows = 0, wide_rows = 0, pairs = 0, keys = 0;
};

/// Running softmax of 32 queries: `max` of the scores as they are, the rest of 2^((score - max) unit). The
/// difference comes before the unit, so that the largest score has weight 1 to the bit however large it is.
struct Running {
  alignas(64) float max[kTile], sum[kTile], weighted[kTile], squares[kTile], low[kTile], cosine[kTile];
  void reset() {
    for (std::int64_t i = 0; i < kTile; ++i) {
      max[i] = -kInfinity;
      low[i] = kInfinity;
      sum[i] = weighted[i] = squares[i] = cosine[i] = 0;
    }
  }
};

/// One block of keys [key, key + keys): scores s[(j - key) * 32 + query] become unnormalised weights in
/// `panel`; rescale[query] is what the output so far must be multiplied by. `keys` is rounded up to the tile;
/// what is not visible has weight 0.
template <bool Stats, class T>
void softmax_block(const Limits& limits, std::int64_t key, std::int64_t keys, float unit, const float* s,
                   const float* inverse_key_norm, const float* dropout, Running& run, T* panel,
                   float* rescale) {
  const std::int64_t open = std::clamp<std::int64_t>(limits.fewest - key, 0, keys) / kWord<T> * kWord<T>;
  const std::int64_t closed = std::clamp<std::int64_t>(round_up(limits.most - key, kTile), 0, keys);
  for (std::int64_t g = 0; g < kTile; g += lanes()) {
    const VF count = hn::Sub(load(limits.count + g), set(static_cast<float>(key)));
    const auto visible = [&](std::int64_t j) HWY_ATTR { return hn::Lt(set(static_cast<float>(j)), count); };
    const VF old = load(run.max + g);
    VF top = old;
    for (std::int64_t j = 0; j < open; ++j) top = hn::Max(top, load(s + j * kTile + g));
    for (std::int64_t j = open; j < closed; ++j)
      top = hn::Max(top, hn::IfThenElse(visible(j), load(s + j * kTile + g), set(-kInfinity)));

    // A query that has seen nothing keeps its sums of zero; -inf - -inf must not make them NaN.
    const auto begun = hn::Gt(old, set(-kInfinity));
    const VF fall = hn::IfThenElseZero(begun, hn::Mul(hn::Sub(old, top), set(unit)));
    const VF factor = hn::IfThenElse(begun, exp2(fall), hn::IfThenElse(hn::Eq(old, old), hn::Zero(f32), old));
    store(factor, rescale + g);
    store(top, run.max + g);
    VF sum = hn::Mul(load(run.sum + g), factor), weighted = hn::Zero(f32), squares = weighted, low = weighted,
       cosine = weighted;
    if constexpr (Stats) {
      weighted = hn::Mul(factor, hn::MulAdd(fall, load(run.sum + g), load(run.weighted + g)));
      squares = load(run.squares + g);
      low = load(run.low + g);
      cosine = load(run.cosine + g);
    }
    const auto weigh = [&](std::int64_t j, bool masked) HWY_ATTR {
      VF x = load(s + j * kTile + g);
      const auto shown = visible(j);
      if (masked) x = hn::IfThenElseZero(shown, x);
      const VF t = hn::Mul(hn::Sub(x, top), set(unit));
      VF e = exp2<T>(t);
      if (masked) e = hn::IfThenElseZero(shown, e);
      sum = hn::Add(sum, e);
      if constexpr (Stats) {
        weighted = hn::MulAdd(e, t, weighted);
        squares = hn::MulAdd(x, x, squares);
        low = hn::Min(low, masked ? hn::IfThenElse(shown, x, low) : x);
        if (inverse_key_norm != nullptr) cosine = hn::MulAdd(x, set(inverse_key_norm[j]), cosine);
      }
      return dropout == nullptr ? e : hn::Mul(e, load(dropout + j * kTile + g));
    };
    for (std::int64_t j = 0; j < open; j += kWord<T>)
      store_words([&](std::int64_t i) HWY_ATTR { return weigh(i, false); }, j, g, panel);
    for (std::int64_t j = open; j < closed; j += kWord<T>)
      store_words([&](std::int64_t i) HWY_ATTR { return weigh(i, true); }, j, g, panel);
    store(sum, run.sum + g);
    if constexpr (Stats) {
      store(weighted, run.weighted + g);
      store(squares, run.squares + g);
      store(low, run.low + g);
      store(cosine, run.cosine + g);
    }
  }
}

/// z = c tanh(s x / c) in place of x, and the cosines, which need x.
void cap_scores(const Limits& limits, std::int64_t key, std::int64_t keys, float scale, float c, float* s,
                const float* inverse_key_norm, Running& run) {
  for (std::int64_t g = 0; g < kTile; g += lanes()) {
    const VF count = hn::Sub(load(limits.count + g), set(static_cast<float>(key)));
    VF cosine = load(run.cosine + g);
    for (std::int64_t j = 0; j < keys; ++j) {
      const VF x = load(s + j * kTile + g);
      if (inverse_key_norm != nullptr) {
        const auto shown = hn::Lt(set(static_cast<float>(j)), count);
        cosine = hn::MulAdd(hn::IfThenElseZero(shown, x), set(inverse_key_norm[j]), cosine);
      }
      store(cap(hn::Mul(x, set(scale)), c), s + j * kTile + g);
    }
    store(cosine, run.cosine + g);
  }
}

/// The same for squared ReLU, whose weights do not depend on other keys: max(0, z)^2, z = scale x. Sums of
/// weights are kept because they are NaN where a score was, which a weight in bf16 may have lost.
template <bool Stats, class T>
void squared_relu_block(const Limits& limits, std::int64_t key, std::int64_t keys, float scale,
                        const float* s, const float* inverse_key_norm, const float* dropout, Running& run,
                        T* panel) {
  for (std::int64_t g = 0; g < kTile; g += lanes()) {
    const VF count = hn::Sub(load(limits.count + g), set(static_cast<float>(key)));
    VF sum = load(run.sum + g), top = load(run.max + g), low = load(run.low + g),
       squares = load(run.squares + g), cosine = load(run.cosine + g);
    const auto weigh = [&](std::int64_t j) HWY_ATTR {
      const auto shown = hn::Lt(set(static_cast<float>(j)), count);
      const VF x = hn::IfThenElseZero(shown, load(s + j * kTile + g)), z = hn::Mul(x, set(scale));
      const VF weight = hn::IfThenZeroElse(hn::Lt(z, hn::Zero(f32)), hn::Mul(z, z));
      sum = hn::Add(sum, weight);
      if constexpr (Stats) {
        top = hn::Max(top, hn::IfThenElse(shown, x, top));
        low = hn::Min(low, hn::IfThenElse(shown, x, low));
        squares = hn::MulAdd(x, x, squares);
        if (inverse_key_norm != nullptr) cosine = hn::MulAdd(x, set(inverse_key_norm[j]), cosine);
      }
      return dropout == nullptr ? weight : hn::Mul(weight, load(dropout + j * kTile + g));
    };
    for (std::int64_t j = 0; j < keys; j += kWord<T>) store_words(weigh, j, g, panel);
    store(sum, run.sum + g);
    if constexpr (Stats) {
      store(top, run.max + g);
      store(low, run.low + g);
      store(squares, run.squares + g);
      store(cosine, run.cosine + g);
    }
  }
}

/// Takes a sink into the softmax of 32 queries once their keys are in: `top` becomes the largest score of all
/// and the sums those relative to it; `factor` is what the output so far must be multiplied by, `own` the
/// sink's weight. run.max stays that of the keys. A row without keys has weight for the sink alone.
void add_sink(float sink, float unit, Running& run, float* top, float* factor, float* own) {
  for (std::int64_t g = 0; g < kTile; g += lanes()) {
    const VF keys = load(run.max + g), most = hn::Max(keys, set(sink));
    const auto none = hn::Eq(keys, set(-kInfinity));
    const VF fall = hn::IfThenZeroElse(none, hn::Mul(hn::Sub(keys, most), set(unit))),
             own_fall = hn::Mul(hn::Sub(set(sink), most), set(unit));
    const VF shrink = hn::IfThenZeroElse(none, exp2(fall)), weight = exp2(own_fall), sum = load(run.sum + g);
    const VF weighted = hn::Mul(shrink, hn::MulAdd(fall, sum, load(run.weighted + g)));
    store(hn::MulAdd(weight, own_fall, weighted), run.weighted + g);
    store(hn::MulAdd(sum, shrink, weight), run.sum + g);
    store(most, top + g);
    store(shrink, factor + g);
    store(weight, own + g);
  }
}

template <class T>
struct ForwardScratch {
  Scratch<T> keys, values, queries, query_panel, weights;
  Scratch<float> scores, out, dropout, inverse_key_norm;
  Running running;
};

/// `sink` is the weight of the row's sink relative to run.sum, 0 without; `inverse_log` 1 / ln of the
/// outcomes.
void add_row_statistics(const Running& run, std::int64_t i, std::int64_t n, double query_norm, double unit,
                        double sink, double inverse_log, HeadSums& sums) {
  if (n == 0) return;
  const double max = static_cast<double>(run.max[i]) * unit, low = static_cast<double>(run.low[i]) * unit;
  sums.logit_max = std::max(sums.logit_max, max);
  sums.logit_absmax = std::max({sums.logit_absmax, max, -low});
  sums.squares = std::fma(static_cast<double>(run.squares[i]) * unit, unit, sums.squares);
  sums.rows += 1;
  sums.pairs += static_cast<double>(n);
  sums.q_norm += query_norm;
  if (query_norm > 0) sums.cosine += static_cast<double>(run.cosine[i]) / query_norm;
  const double sum = static_cast<double>(run.sum[i]);
  if (sink != 0) sums.sink += sink / sum;
  if (n < 2) return;
  const double entropy =
      std::log(sum) - static_cast<double>(run.weighted[i]) * static_cast<double>(kLn2) / sum;
  sums.wide_rows += 1;
  sums.entropy += entropy < 0 ? 0 : entropy;
  sums.entropy_norm = std::fma(entropy < 0 ? 0 : entropy, inverse_log, sums.entropy_norm);
}

template <bool Stats, class T>
void forward_site(const Problem<T>& problem, const Tile<T>& tile, std::int64_t index,
                  const std::vector<double>& inverse_log, T* out, float* wide, float* softmax,
                  HeadSums& sums) {
  static thread_local ForwardScratch<T> scratch;
  const TileScope<T> scope(tile);
  const AttentionProblem& p = problem.p;
  const Site<T> site = problem.site(index);
  const std::int64_t width = p.width, padded = round_up(width, tile.k_step), out_rows = round_up(width, 16);
  const std::int64_t keys = round_up(site.key_count, kTile);
  T* key_rows = scratch.keys.get(keys * padded);
  load_rows(site.key_load, site.k, 0, site.key_count, padded, key_rows);
  const Strips<T> values = pack_strips(tile, site.v.data, site.v.token, site.key_count, width, keys,
                                       scratch.values.get(round_up(width, kTile) * keys));
  float* inverse_key_norm = nullptr;
  if constexpr (Stats) {
    inverse_key_norm = scratch.inverse_key_norm.get(keys);
    for (std::int64_t j = 0; j < keys; ++j) {
      const T* key = key_rows + j * padded;
      const float norm = std::sqrt(dot_of(key, key, width));
      inverse_key_norm[j] = norm == 0 ? 0 : 1 / norm;
      if (j < site.key_count) sums.k_norm += static_cast<double>(norm);
    }
    sums.keys += static_cast<double>(site.key_count);
  }
  T *query_rows = scratch.queries.get(kTile * padded), *query_panel = scratch.query_panel.get(kTile * padded);
  float *scores = scratch.scores.get(kKeyBlock * kTile),
        *sum_out = scratch.out.get(round_up(width, kTile) * kTile);
  T* weights = scratch.weights.get(kKeyBlock * kTile);
  float* dropout = p.dropout.on() ? scratch.dropout.get(kKeyBlock * kTile) : nullptr;
  Running& run = scratch.running;
  const bool capped = p.score.softcap > 0, squared_relu = p.score.kind == WeightRule::kSquaredRelu;
  const float scale = static_cast<float>(p.score.scale), unit = score_unit(p);
  const std::int64_t sink_outcomes = p.sinks == nullptr ? 0 : 1;

  for (std::int64_t i = 0; i < p.queries; i += kTile) {
    const std::int64_t queries = std::min(kTile, p.queries - i);
    load_rows(site.query_load, site.q, i, queries, padded, query_rows);
    pack_columns([&](std::int64_t c) { return query_rows + c * padded; }, padded, kTile, kTile, padded,
                 query_panel);
    const Limits limits = limits_of(problem, site, i, queries);
    run.reset();
    clear(sum_out, out_rows * kTile);
    for (std::int64_t j = 0; j < limits.most; j += kKeyBlock) {
      const std::int64_t block = round_up(std::min(kKeyBlock, limits.most - j), kTile);
      for (std::int64_t r = 0; r < block; r += kTile) {
        scope.multiply({key_rows + (j + r) * padded, padded, kWord<T>}, query_panel, padded, kTile, kTile,
                       scores + r * kTile, kTile, false);
        if (dropout != nullptr) fill_dropout(p, index, i, j + r, dropout + r * kTile);
      }
      const float* key_norms = Stats ? inverse_key_norm + j : nullptr;
      if (capped)
        cap_scores(limits, j, block, scale, static_cast<float>(p.score.softcap), scores, key_norms, run);
      alignas(64) float rescale[kTile];
      if (squared_relu)
        squared_relu_block<Stats>(limits, j, block, capped ? 1 : scale, scores, capped ? nullptr : key_norms,
                                  dropout, run, weights);
      else
        softmax_block<Stats>(limits, j, block, unit, scores, capped ? nullptr : key_norms, dropout, run,
                             weights, rescale);
      if (j > 0 && !squared_relu) {
        for (std::int64_t c = 0; c < out_rows; ++c)
          for (std::int64_t g = 0; g < kTile; g += lanes())
            store(hn::Mul(load(sum_out + c * kTile + g), load(rescale + g)), sum_out + c * kTile + g);
      }
      for (std::int64_t c = 0; c < width; c += kTile)
        scope.multiply(values.strip(tile, c, j), weights, block, strip_rows(width, c), kTile,
                       sum_out + c * kTile, kTile, true);
    }
    alignas(64) float factor[kTile], top_with_sink[kTile], sink[kTile]{};
    std::fill_n(factor, kTile, 1.0f);
    if (p.sinks != nullptr) add_sink(sink_score(p, site, unit), unit, run, top_with_sink, factor, sink);
    const float* top = p.sinks != nullptr ? top_with_sink : run.max;
    for (std::int64_t g = 0; g < kTile; g += lanes()) {
      const VF sum = load(run.sum + g);
      const VF inverse = squared_relu
                             ? hn::IfThenElse(hn::Eq(sum, sum), set(inverse_root_positions(p, site)), sum)
                             : hn::IfThenElseZero(hn::Ne(sum, hn::Zero(f32)), hn::Div(load(factor + g), sum));
      for (std::int64_t c = 0; c < out_rows; ++c)
        store(hn::Mul(load(sum_out + c * kTile + g), inverse), sum_out + c * kTile + g);
    }
    alignas(64) float turned[kTile * kTile];
    for (std::int64_t c = 0; c < width; c += kTile) {
      const std::int64_t some = std::min(kTile, width - c);
      transpose_words(words(sum_out + c * kTile), kTile, strip_rows(width, c), kTile, words(turned), kTile);
      for (std::int64_t r = 0; r < queries; ++r) {
        const std::ptrdiff_t to = ((site.sequence * p.queries + i + r) * p.heads + site.head) * width + c;
        copy_row(turned + r * kTile, some, out + to);
        if constexpr (kWord<T> == 2) copy_row(turned + r * kTile, some, wide + to);
      }
    }
    for (std::int64_t r = 0; r < queries; ++r) {
      float* facts = softmax + 2 * (index * p.queries + i + r);
      facts[0] = top[r];
      facts[1] = std::log2(run.sum[r]);
      if (Stats && i + r < site.query_count) {
        const T* query = query_rows + r * padded;
        const auto n = static_cast<std::int64_t>(limits.count[r]);
        add_row_statistics(run, r, n, std::sqrt(static_cast<double>(dot_of(query, query, width))),
                           static_cast<double>(unit / kLog2E), static_cast<double>(sink[r]),
                           inverse_log[static_cast<std::size_t>(n + sink_outcomes)], sums);
      }
    }
  }
}

/// Adds up sequences, in order, into the numbers of one head.
AttentionStats statistics_of(const std::vector<HeadSums>& all, std::int64_t head, const AttentionProblem& p) {
  HeadSums t;
  for (std::int64_t b = 0; b < p.batch; ++b) {
    const HeadSums& s = all[static_cast<std::size_t>(b * p.heads + head)];
    t.logit_max = std::max(t.logit_max, s.logit_max);
    t.logit_absmax = std::max(t.logit_absmax, s.logit_absmax);
    t.squares += s.squares;
    t.entropy += s.entropy;
    t.entropy_norm += s.entropy_norm;
    t.q_norm += s.q_norm;
    t.k_norm += s.k_norm;
    t.cosine += s.cosine;
    t.sink += s.sink;
    t.rows += s.rows;
    t.wide_rows += s.wide_rows;
    t.pairs += s.pairs;
    t.keys += s.keys;
  }
  const auto mean = [](double sum, double n) { return n > 0 ? sum / n : 0; };
  AttentionStats out{.logit_max = t.logit_max,
                     .logit_absmax = t.logit_absmax,
                     .logit_rms = std::sqrt(mean(t.squares, t.pairs)),
                     .entropy = mean(t.entropy, t.wide_rows),
                     .entropy_norm = mean(t.entropy_norm, t.wide_rows),
                     .q_norm = mean(t.q_norm, t.rows),
                     .k_norm = mean(t.k_norm, t.keys),
                     .qk_cosine = mean(t.cosine, t.pairs),
                     .sink_share = mean(t.sink, t.rows)};
  if (p.score.kind != WeightRule::kSoftmax)
    out.entropy = out.entropy_norm = std::numeric_limits<double>::quiet_NaN();
  // Vector maxima pass over NaN.
  if (std::isnan(out.logit_rms))
    out.logit_max = out.logit_absmax = out.entropy = out.entropy_norm = out.qk_cosine = out.sink_share =
        out.logit_rms;
  return out;
}

template <class T>
void forward(const AttentionProblem& p, Heads<const T> q, Heads<const T> k, Heads<const T> v, T* out,
             float* wide, float* softmax, AttentionStats* stats) {
  const Problem<T> problem(p, q, k, v);
  const Tile<T>& tile = kernels::tile<T>();
  std::vector<HeadSums> sums(static_cast<std::size_t>(p.batch * p.heads));
  std::vector<double> inverse_log(static_cast<std::size_t>(p.keys + 2));
  for (std::size_t n = 2; n < inverse_log.size(); ++n) inverse_log[n] = 1 / std::log(static_cast<double>(n));
  parallel_for(p.batch * p.heads, [&](std::int64_t index) {
    HeadSums& own = sums[static_cast<std::size_t>(index)];
    if (stats != nullptr) forward_site<true>(problem, tile, index, inverse_log, out, wide, softmax, own);
    else forward_site<false>(problem, tile, index, inverse_log, out, wide, softmax, own);
  });
  if (stats == nullptr) return;
  for (std::int64_t h = 0; h < p.heads; ++h) stats[h] = statistics_of(sums, h, p);
}

void forward_fp32(const AttentionProblem& p, Heads<const float> q, Heads<const float> k, Heads<const float> v,
                  float* out, float* wide, float* softmax, AttentionStats* stats) {
  forward(p, q, k, v, out, wide, softmax, stats);
}
void forward_bf16(const AttentionProblem& p, Heads<const bf16> q, Heads<const bf16> k, Heads<const bf16> v,
                  bf16* out, float* wide, float* softmax, AttentionStats* stats) {
  forward(p, q, k, v, out, wide, softmax, stats);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenkeel::kernels {

HWY_EXPORT(forward_fp32);
HWY_EXPORT(forward_bf16);

template <>
void attention_forward(const AttentionProblem& p, Heads<const float> q, Heads<const float> k,
                       Heads<const float> v, float* out, float* wide, float* softmax, AttentionStats* stats) {
  HWY_DYNAMIC_DISPATCH(forward_fp32)(p, q, k, v, out, wide, softmax, stats);
}
template <>
void attention_forward(const AttentionProblem& p, Heads<const bf16> q, Heads<const bf16> k,
                       Heads<const bf16> v, bf16* out, float* wide, float* softmax, AttentionStats* stats) {
  HWY_DYNAMIC_DISPATCH(forward_bf16)(p, q, k, v, out, wide, softmax, stats);
}

}  // namespace evenkeel::kernels
#endif
