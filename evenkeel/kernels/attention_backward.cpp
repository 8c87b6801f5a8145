#include "evenkeel/kernels/attention.h"

#include <cmath>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evenkeel/kernels/attention_backward.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "evenkeel/kernels/attention_site-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace {

/// What the gradient of a tile of scores needs of its 32 queries.
struct RowFacts {
  alignas(64) float max[kTile], log2_sum[kTile], product[kTile];  ///< of the softmax; <d out, out>
};

/// One tile: scores s and d_weights (both [key][query]) become weights and score gradients, row-major
/// [key][query] for the gradients of keys and values, and as panel words for those of the queries.
/// `inverse_root` is 1 / sqrt(T) of squared ReLU.
template <WeightRule Rule, class T>
void score_gradients(const AttentionProblem& p, const Limits& limits, const RowFacts& facts,
                     float inverse_root, std::int64_t key, const float* s, const float* d_weights,
                     const float* dropout, T* weight_rows, T* d_score_rows, T* d_score_panel) {
  const bool masked = key + kTile > limits.fewest, capped = p.score.softcap > 0;
  const float scale = static_cast<float>(p.score.scale), soft = static_cast<float>(p.score.softcap),
              unit = score_unit(p);
  for (std::int64_t g = 0; g < kTile; g += lanes()) {
    const VF count = hn::Sub(load(limits.count + g), set(static_cast<float>(key)));
    const VF max = load(facts.max + g), log2_sum = load(facts.log2_sum + g),
             product = load(facts.product + g);
    for (std::int64_t j = 0; j < kTile; j += kWord<T>) {
      const auto d_score = [&](std::int64_t row) HWY_ATTR {
        const std::int64_t at = row * kTile + g;
        VF x = load(s + at), slope = set(scale);
        if (capped) {
          x = cap(hn::Mul(x, set(scale)), soft);
          const VF share = hn::Mul(x, set(1 / soft));
          slope = hn::Mul(slope, hn::NegMulAdd(share, share, set(1)));
        }
        const auto shown = hn::Lt(set(static_cast<float>(row)), count);
        VF weight, d_weight = load(d_weights + at);
        if constexpr (Rule == WeightRule::kSoftmax) {
          weight = exp2<T>(hn::MulSub(hn::Sub(x, max), set(unit), log2_sum));
        } else {
          if (!capped) x = hn::Mul(x, set(scale));
          // Not the larger of x and 0, which would lose a NaN.
          const VF above = hn::IfThenZeroElse(hn::Lt(x, hn::Zero(f32)), x),
                   shared = hn::Mul(above, set(inverse_root));
          weight = hn::Mul(above, shared);
          slope = hn::Mul(slope, hn::Add(shared, shared));
          if (masked) slope = hn::IfThenElseZero(shown, slope);
        }
        if (masked) {
          weight = hn::IfThenElseZero(shown, weight);
          d_weight = hn::IfThenElseZero(shown, d_weight);
        }
        VF kept = weight;
        if (dropout != nullptr) {
          kept = hn::Mul(weight, load(dropout + at));
          d_weight = hn::Mul(d_weight, load(dropout + at));
        }
        store_quick(kept, weight_rows + at);
        VF d;
        if constexpr (Rule == WeightRule::kSoftmax)
          d = hn::Mul(hn::Mul(weight, slope), hn::Sub(d_weight, product));
        else d = hn::Mul(slope, d_weight);
        if constexpr (kWord<T> == 2) store_quick(d, d_score_rows + at);
        return d;
      };
      store_words(d_score, j, g, d_score_panel);
    }
  }
}

template <class T>
struct BackwardScratch {
  Scratch<T> keys, values, key_strips, queries, query_panel, query_rows_panel, d_out, d_out_panel,
      d_out_rows_panel, d_score_panel;
  Scratch<float> d_keys, d_values, d_queries, dropout;
};

template <class T>
void backward_site(const Problem<T>& problem, const Tile<T>& tile, std::int64_t index, const float* wide,
                   const float* softmax, const T* d_out, const Heads<T>& dq, const Heads<T>& dk,
                   const Heads<T>& dv, float* d_gains, double& d_sink) {
  static thread_local BackwardScratch<T> scratch;
  const TileScope<T> scope(tile);
  const AttentionProblem& p = problem.p;
  const Site<T> site = problem.site(index);
  const std::int64_t width = p.width, padded = round_up(width, tile.k_step), columns = round_up(width, 16),
                     keys = round_up(site.key_count, kTile), room = round_up(width, kTile);
  T *key_rows = scratch.keys.get(keys * padded), *value_rows = scratch.values.get(keys * padded);
  load_rows(site.key_load, site.k, 0, site.key_count, padded, key_rows);
  copy_rows(site.v.data, site.v.token, site.key_count, width, padded, value_rows);
  const Strips<T> key_strips = pack_strips(tile, static_cast<const T*>(key_rows), padded, keys, width, keys,
                                           scratch.key_strips.get(room * keys));
  float *d_keys = scratch.d_keys.get(keys * columns), *d_values = scratch.d_values.get(keys * columns),
        *d_queries = scratch.d_queries.get(room * kTile);
  clear(d_keys, keys * columns);
  clear(d_values, keys * columns);
  T *query_rows = scratch.queries.get(kTile * padded), *query_panel = scratch.query_panel.get(kTile * padded),
    *query_rows_panel = scratch.query_rows_panel.get(kTile * room),
    *d_out_rows = scratch.d_out.get(kTile * padded), *d_out_panel = scratch.d_out_panel.get(kTile * padded),
    *d_out_rows_panel = scratch.d_out_rows_panel.get(kTile * room),
    *d_score_panel = scratch.d_score_panel.get(keys * kTile);
  float* dropout = p.dropout.on() ? scratch.dropout.get(kTile * kTile) : nullptr;
  const auto differentiate = p.score.kind == WeightRule::kSquaredRelu
                                 ? score_gradients<WeightRule::kSquaredRelu, T>
                                 : score_gradients<WeightRule::kSoftmax, T>;
  const float unit = score_unit(p), inverse_root = inverse_root_positions(p, site);
  const auto head_offset = site.head * width;
  const std::ptrdiff_t out_row = p.heads * width;

  for (std::int64_t i = 0; i < p.queries; i += kTile) {
    const std::int64_t queries = std::min(kTile, p.queries - i);
    const Limits limits = limits_of(problem, site, i, queries);
    load_rows(site.query_load, site.q, i, queries, padded, query_rows);
    const std::ptrdiff_t first = (site.sequence * p.queries + i) * out_row + head_offset;
    copy_rows(d_out + first, out_row, queries, width, padded, d_out_rows);
    RowFacts facts{};
    for (std::int64_t r = 0; r < queries; ++r) {
      facts.product[r] = dot_of(d_out_rows + r * padded, wide + first + r * out_row, width);
      const float* saved = softmax + 2 * (index * p.queries + i + r);
      facts.max[r] = saved[0];
      facts.log2_sum[r] = saved[1];
      if (p.sinks == nullptr) continue;
      const float own = (sink_score(p, site, unit) - saved[0]) * unit - saved[1];
      d_sink -= std::exp2(static_cast<double>(own)) * static_cast<double>(facts.product[r]);
    }
    const auto pack = [&](const T* rows, T* by_columns, T* by_rows) {
      pack_columns([&](std::int64_t c) { return rows + c * padded; }, padded, kTile, kTile, padded,
                   by_columns);
      for (std::int64_t c = 0; c < width; c += kTile)
        pack_rows([&](std::int64_t r) { return rows + r * padded + c; }, kTile, std::min(kTile, width - c),
                  panel_columns(width, c), kTile, by_rows + c * kTile);
    };
    pack(query_rows, query_panel, query_rows_panel);
    pack(d_out_rows, d_out_panel, d_out_rows_panel);
    const std::int64_t seen = round_up(limits.most, kTile);
    for (std::int64_t j = 0; j < seen; j += kTile) {
      alignas(64) float s[kTile * kTile], d_weights[kTile * kTile];
      alignas(64) T weight_rows[kTile * kTile], d_score_rows[kTile * kTile];
      scope.multiply({key_rows + j * padded, padded, kWord<T>}, query_panel, padded, kTile, kTile, s, kTile,
                     false);
      scope.multiply({value_rows + j * padded, padded, kWord<T>}, d_out_panel, padded, kTile, kTile,
                     d_weights, kTile, false);
      if (dropout != nullptr) fill_dropout(p, index, i, j, dropout);
      T* panel = d_score_panel + j * kTile;
      differentiate(p, limits, facts, inverse_root, j, s, d_weights, dropout, weight_rows, d_score_rows,
                    panel);
      // In fp32 a panel of 32 columns is row-major already.
      const T* d_scores = kWord<T> == 1 ? panel : d_score_rows;
      for (std::int64_t c = 0; c < width; c += kTile) {
        const std::int64_t some = panel_columns(width, c);
        scope.multiply({weight_rows, kTile, kWord<T>}, d_out_rows_panel + c * kTile, kTile, kTile, some,
                       d_values + j * columns + c, columns, true);
        scope.multiply({d_scores, kTile, kWord<T>}, query_rows_panel + c * kTile, kTile, kTile, some,
                       d_keys + j * columns + c, columns, true);
      }
    }
    for (std::int64_t c = 0; c < width; c += kTile) {
      alignas(64) float turned[kTile * kTile];
      if (seen == 0) clear(turned, kTile * kTile);
      else
        scope.multiply(key_strips.strip(tile, c, 0), d_score_panel, seen, strip_rows(width, c), kTile, turned,
                       kTile, false);
      // [K][query] to [query][K].
      transpose_words(words(turned), kTile, strip_rows(width, c), kTile, words(d_queries + c), room);
    }
    for (std::int64_t r = 0; r < queries; ++r) {
      const std::ptrdiff_t token = site.sequence * dq.sequence + (i + r) * dq.token + head_offset;
      unload_row(site.query_load, site.q.data + (i + r) * site.q.token, i + r, d_queries + r * room,
                 dq.data + token, d_gains);
    }
  }
  for (std::int64_t j = 0; j < p.keys; ++j) {
    T *to_key = dk.data + site.sequence * dk.sequence + j * dk.token + head_offset,
      *to_value = dv.data + site.sequence * dv.sequence + j * dv.token + head_offset;
    if (j >= site.key_count) {
      clear(to_key, width);
      clear(to_value, width);
      continue;
    }
    copy_row(d_values + j * columns, width, to_value);
    unload_row(site.key_load, site.k.data + j * site.k.token, j, d_keys + j * columns, to_key,
               d_gains + width);
  }
}

/// The way back through a norm over all heads: g (in place) is the gradient of gain * normalised.
template <class T>
void normalise_back_whole(const AttentionProblem& p, const Heads<const T>& x,
                          const std::vector<Centre>& centres, std::int64_t tokens, const float* gain,
                          const Heads<T>& g, float* d_gain) {
  const std::int64_t n = p.heads * p.width;
  std::vector<float> parts(static_cast<std::size_t>(p.batch * n));
  parallel_for(p.batch, [&](std::int64_t b) {
    std::vector<float> value(static_cast<std::size_t>(n)), slope(static_cast<std::size_t>(n));
    float* part = parts.data() + b * n;
    for (std::int64_t t = 0; t < tokens; ++t) {
      const Centre c = centres[static_cast<std::size_t>(b * tokens + t)];
      T* to = g.data + b * g.sequence + t * g.token;
      copy_row(x.data + b * x.sequence + t * x.token, n, value.data());
      copy_row(to, n, slope.data());
      for (std::int64_t i = 0; i < n; i += lanes()) {
        const std::int64_t some = n - i;
        const VF normalised =
                     hn::Mul(hn::Sub(load_n(value.data() + i, some), set(c.mean)), set(c.inverse_deviation)),
                 upstream = load_n(slope.data() + i, some);
        store_n(normalised, value.data() + i, some);
        store_n(hn::MulAdd(upstream, normalised, load_n(part + i, some)), part + i, some);
        store_n(hn::Mul(upstream, load_n(gain + i, some)), slope.data() + i, some);
      }
      const float mean = sum_of(slope.data(), n) / static_cast<float>(n),
                  along = dot_of(slope.data(), value.data(), n) / static_cast<float>(n);
      for (std::int64_t i = 0; i < n; i += lanes()) {
        const std::int64_t some = n - i;
        const VF centred = hn::Sub(load_n(slope.data() + i, some), set(mean));
        const VF rest = hn::NegMulAdd(load_n(value.data() + i, some), set(along), centred);
        store_n(hn::Mul(set(c.inverse_deviation), rest), slope.data() + i, some);
      }
      copy_row(slope.data(), n, to);
    }
  });
  for (std::int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (std::int64_t b = 0; b < p.batch; ++b)
      sum += static_cast<double>(parts[static_cast<std::size_t>(b * n + i)]);
    d_gain[i] = static_cast<float>(sum);
  }
}

/// parts [B, H, 2, K] to the gains' gradients.
void add_gain_gradients(const AttentionProblem& p, const std::vector<float>& parts, float* query,
                        float* key) {
  const std::int64_t n = p.norm.own_gains ? p.heads * p.width : p.width;
  for (int which = 0; which < 2; ++which) {
    std::vector<double> total(static_cast<std::size_t>(n));
    for (std::int64_t site = 0; site < p.batch * p.heads; ++site)
      for (std::int64_t c = 0; c < p.width; ++c) {
        const std::int64_t to = (p.norm.own_gains ? site % p.heads * p.width : 0) + c;
        total[static_cast<std::size_t>(to)] +=
            static_cast<double>(parts[static_cast<std::size_t>((2 * site + which) * p.width + c)]);
      }
    for (std::int64_t i = 0; i < n; ++i)
      (which == 0 ? query : key)[i] = static_cast<float>(total[static_cast<std::size_t>(i)]);
  }
}

template <class T>
void backward(const AttentionProblem& p, Heads<const T> q, Heads<const T> k, Heads<const T> v,
              const float* wide, const float* softmax, const T* d_out, Heads<T> dq, Heads<T> dk, Heads<T> dv,
              float* d_query_gain, float* d_key_gain, float* d_sinks) {
  const Problem<T> problem(p, q, k, v);
  const Tile<T>& tile = kernels::tile<T>();
  const std::int64_t sites = p.batch * p.heads;
  std::vector<float> gains(static_cast<std::size_t>(sites * 2 * p.width));
  std::vector<double> sinks(static_cast<std::size_t>(sites));
  parallel_for(sites, [&](std::int64_t index) {
    backward_site(problem, tile, index, wide, softmax, d_out, dq, dk, dv, gains.data() + index * 2 * p.width,
                  sinks[static_cast<std::size_t>(index)]);
  });
  if (p.sinks != nullptr) {
    for (std::int64_t h = 0; h < p.heads; ++h) {
      double sum = 0;
      for (std::int64_t b = 0; b < p.batch; ++b) sum += sinks[static_cast<std::size_t>(b * p.heads + h)];
      d_sinks[h] = static_cast<float>(sum);
    }
  }
  if (p.norm.query_gain == nullptr) return;
  if (p.norm.whole) {
    normalise_back_whole(p, q, problem.query_centres, p.queries, p.norm.query_gain, dq, d_query_gain);
    normalise_back_whole(p, k, problem.key_centres, p.keys, p.norm.key_gain, dk, d_key_gain);
  } else {
    add_gain_gradients(p, gains, d_query_gain, d_key_gain);
  }
}

void backward_fp32(const AttentionProblem& p, Heads<const float> q, Heads<const float> k,
                   Heads<const float> v, const float* wide, const float* softmax, const float* d_out,
                   Heads<float> dq, Heads<float> dk, Heads<float> dv, float* d_query_gain, float* d_key_gain,
                   float* d_sinks) {
  backward(p, q, k, v, wide, softmax, d_out, dq, dk, dv, d_query_gain, d_key_gain, d_sinks);
}
void backward_bf16(const AttentionProblem& p, Heads<const bf16> q, Heads<const bf16> k, Heads<const bf16> v,
                   const float* wide, const float* softmax, const bf16* d_out, Heads<bf16> dq, Heads<bf16> dk,
                   Heads<bf16> dv, float* d_query_gain, float* d_key_gain, float* d_sinks) {
  backward(p, q, k, v, wide, softmax, d_out, dq, dk, dv, d_query_gain, d_key_gain, d_sinks);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenkeel::kernels {

HWY_EXPORT(backward_fp32);
HWY_EXPORT(backward_bf16);

template <>
void attention_backward(const AttentionProblem& p, Heads<const float> q, Heads<const float> k,
                        Heads<const float> v, const float* wide, const float* softmax, const float* d_out,
                        Heads<float> dq, Heads<float> dk, Heads<float> dv, float* d_query_gain,
                        float* d_key_gain, float* d_sinks) {
  HWY_DYNAMIC_DISPATCH(backward_fp32)
  (p, q, k, v, wide, softmax, d_out, dq, dk, dv, d_query_gain, d_key_gain, d_sinks);
}
template <>
void attention_backward(const AttentionProblem& p, Heads<const bf16> q, Heads<const bf16> k,
                        Heads<const bf16> v, const float* wide, const float* softmax, const bf16* d_out,
                        Heads<bf16> dq, Heads<bf16> dk, Heads<bf16> dv, float* d_query_gain,
                        float* d_key_gain, float* d_sinks) {
  HWY_DYNAMIC_DISPATCH(backward_bf16)
  (p, q, k, v, wide, softmax, d_out, dq, dk, dv, d_query_gain, d_key_gain, d_sinks);
}

}  // namespace evenkeel::kernels
#endif
