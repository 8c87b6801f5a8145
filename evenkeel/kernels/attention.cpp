#include "evenkeel/kernels/attention.h"

#include <cmath>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evenkeel/kernels/attention.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "evenkeel/kernels/attention_load-inl.h"
#include "evenkeel/kernels/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr std::int64_t kKeyBlock = 256;  ///< keys whose scores for 32 queries are in cache together
constexpr float kLog2E = 1.44269504f, kLn2 = 0.69314718f;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Sums over the rows of one head of one sequence.
struct HeadSums {
  double logit_max = -std::numeric_limits<double>::infinity(), logit_absmax = 0, squares = 0, entropy = 0,
         entropy_norm = 0, q_norm = 0, k_norm = 0, cosine = 0;
  double rows = 0, wide_rows = 0, pairs = 0, keys = 0;
};

/// What one (sequence, head) needs to know.
template <class T>
struct Site {
  std::int64_t sequence, head;
  std::int64_t query_count, key_count;  ///< without padding
  Heads<const T> q, k, v;
  HeadLoad query_load, key_load;
};

template <class T>
Heads<const T> at(const Heads<const T>& all, std::int64_t sequence, std::int64_t head, std::int64_t width) {
  return {all.data + sequence * all.sequence + head * width, all.sequence, all.token};
}

/// The statistics of a norm over all heads: [B * tokens].
template <class T>
std::vector<Centre> whole_centres(const AttentionProblem& p, const Heads<const T>& x, std::int64_t tokens) {
  std::vector<Centre> centres(static_cast<std::size_t>(p.batch * tokens));
  const std::int64_t n = p.heads * p.width;
  parallel_for(p.batch, [&](std::int64_t b) {
    std::vector<float> row(static_cast<std::size_t>(n));
    for (std::int64_t t = 0; t < tokens; ++t) {
      copy_row(x.data + b * x.sequence + t * x.token, n, row.data());
      centres[static_cast<std::size_t>(b * tokens + t)] = centre_of(row.data(), n, p.norm.eps);
    }
  });
  return centres;
}

template <class T>
struct Problem {
  const AttentionProblem& p;
  Heads<const T> q, k, v;
  std::vector<Centre> query_centres, key_centres;

  Problem(const AttentionProblem& problem, Heads<const T> queries, Heads<const T> keys, Heads<const T> values)
      : p(problem), q(queries), k(keys), v(values) {
    if (p.norm.query_gain == nullptr || !p.norm.whole) return;
    query_centres = whole_centres(p, q, p.queries);
    key_centres = whole_centres(p, k, p.keys);
  }

  Site<T> site(std::int64_t index) const {
    const std::int64_t b = index / p.heads, h = index % p.heads;
    const std::int64_t gain = p.norm.own_gains || p.norm.whole ? h * p.width : 0;
    const auto load = [&](const float* g, const std::vector<Centre>& centres, std::int64_t tokens) {
      return HeadLoad{p.width,
                      g == nullptr ? nullptr : g + gain,
                      centres.empty() ? nullptr : centres.data() + b * tokens,
                      p.norm.eps,
                      p.cos,
                      p.sin};
    };
    return {b,
            h,
            p.query_lengths == nullptr ? p.queries : p.query_lengths[b],
            p.key_lengths == nullptr ? p.keys : p.key_lengths[b],
            at(q, b, h, p.width),
            at(k, b, h, p.width),
            at(v, b, h, p.width),
            load(p.norm.query_gain, query_centres, p.queries),
            load(p.norm.key_gain, key_centres, p.keys)};
  }

  /// Keys that query i of the site sees: the first so many.
  std::int64_t visible(const Site<T>& site, std::int64_t query) const {
    const std::int64_t n = p.causal ? query + 1 + p.keys - p.queries : p.keys;
    return std::clamp<std::int64_t>(n, 0, site.key_count);
  }
};

/// Multipliers of dropout for one tile: to[key * 32 + query].
void fill_dropout(const AttentionProblem& p, std::int64_t site, std::int64_t query, std::int64_t key,
                  float* to) {
  for (std::int64_t i = 0; i < kTile; ++i) {
    float row[kTile];
    dropout_multipliers(p.dropout, (site * p.queries + query + i) * p.keys + key, kTile, row);
    for (std::int64_t j = 0; j < kTile; ++j) to[j * kTile + i] = row[j];
  }
}

/// c tanh(x / c).
HWY_INLINE VF cap(VF x, float c) {
  VF t = hn::Mul(x, set(2 * kLog2E / c));
  t = hn::IfThenElse(hn::Gt(t, set(126)), set(126), t);
  return hn::Mul(set(c), hn::NegMulAdd(set(2), reciprocal(hn::Add(set(1), exp2(t))), set(1)));
}

/// Rounds to bf16 in the low half of each lane. A NaN may lose its mark, which is why whoever uses this makes
/// its results NaN by another way.
HWY_INLINE hn::Vec<U32> quick_bf16_bits(VF v) {
  return hn::ShiftRight<16>(hn::Add(hn::BitCast(u32, v), hn::Set(u32, 0x8000)));
}

/// Row j of a panel with 32 columns, or rows j and j + 1 in one word; row(j) gives the values of row j.
template <class Row>
HWY_INLINE void store_words(const Row& row, std::int64_t j, std::int64_t column, float* panel) {
  store(row(j), panel + j * kTile + column);
}
template <class Row>
HWY_INLINE void store_words(const Row& row, std::int64_t j, std::int64_t column, bf16* panel) {
  const auto first = quick_bf16_bits(row(j)), second = quick_bf16_bits(row(j + 1));
  hn::StoreU(hn::Or(first, hn::ShiftLeft<16>(second)), u32,
             reinterpret_cast<std::uint32_t*>(panel) + j / 2 * kTile + column);
}
HWY_INLINE void store_quick(VF v, float* to) {
  store(v, to);
}
HWY_INLINE void store_quick(VF v, bf16* to) {
#if HWY_TARGET == HWY_AVX3
  if (HWY_LIKELY(use_bf16_instructions)) return store(v, to);
#endif
  hn::StoreU(hn::TruncateTo(u16, quick_bf16_bits(v)), u16, reinterpret_cast<std::uint16_t*>(to));
}

/// Loads rows [first, first + count) of a head; rows up to a multiple of 32 and columns up to `padded` are
/// zeros.
template <class T>
void load_rows(const HeadLoad& load, const Heads<const T>& x, std::int64_t first, std::int64_t count,
               std::int64_t padded, T* to) {
  for (std::int64_t r = 0; r < round_up(count, kTile); ++r) {
    T* out = to + r * padded;
    if (r >= count) {
      clear(out, padded);
      continue;
    }
    load_row(load, x.data + (first + r) * x.token, first + r, out);
    clear(out + load.width, padded - load.width);
  }
}
/// Without transformation.
template <class T>
void copy_rows(const T* from, std::ptrdiff_t from_row, std::int64_t count, std::int64_t width,
               std::int64_t padded, T* to) {
  for (std::int64_t r = 0; r < round_up(count, kTile); ++r) {
    T* out = to + r * padded;
    if (r < count) copy_row(from + r * from_row, width, out);
    clear(out + (r < count ? width : 0), padded - (r < count ? width : 0));
  }
}

/// A^T operands in strips of 32 rows.
template <class T>
struct Strips {
  const T* data;
  std::int64_t padded;  ///< contraction
  OperandA<T> strip(const Tile<T>& tile, std::int64_t row, std::int64_t from) const {
    const T* base = data + row * padded;
    if (tile.transposed_is_panel) return {base + from * kTile, kWord<T>, kTile * kWord<T>};
    return {base + from, static_cast<std::ptrdiff_t>(padded), kWord<T>};
  }
};
template <class T>
Strips<T> pack_strips(const Tile<T>& tile, const T* rows, std::ptrdiff_t row, std::int64_t count,
                      std::int64_t width, std::int64_t padded, T* to) {
  for (std::int64_t c = 0; c < width; c += kTile) {
    pack_transposed(
        tile, [&](std::int64_t i) { return rows + i * row + c; }, count, std::min(kTile, width - c), padded,
        padded, to + c * padded);
  }
  return {to, padded};
}

/// Rows of a strip that the tile is asked for.
std::int64_t strip_rows(std::int64_t width, std::int64_t row) {
  return width - row > 16 ? kTile : 16;
}

struct Limits {
  alignas(64) float count[kTile];  ///< visible keys of each query of the block
  std::int64_t fewest, most;       ///< over the block's queries
};
template <class T>
Limits limits_of(const Problem<T>& problem, const Site<T>& site, std::int64_t query, std::int64_t queries) {
  Limits limits;
  limits.fewest = problem.p.keys;
  limits.most = 0;
  for (std::int64_t i = 0; i < kTile; ++i) {
    const std::int64_t n = i < queries ? problem.visible(site, query + i) : 0;
    limits.count[i] = static_cast<float>(n);
    limits.fewest = std::min(limits.fewest, n);
    limits.most = std::max(limits.most, n);
  }
  return limits;
}

// ------------------------------------------------------------------------------------------------ forward

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

template <class T>
struct ForwardScratch {
  Scratch<T> keys, values, queries, query_panel, weights;
  Scratch<float> scores, out, dropout, inverse_key_norm;
  Running running;
};

void add_row_statistics(const Running& run, std::int64_t i, std::int64_t n, double scale, double query_norm,
                        double unit, double inverse_log, HeadSums& sums) {
  if (n == 0) return;
  const double max = static_cast<double>(run.max[i]) * unit, low = static_cast<double>(run.low[i]) * unit;
  sums.logit_max = std::max(sums.logit_max, max);
  sums.logit_absmax = std::max({sums.logit_absmax, max, -low});
  sums.squares += static_cast<double>(run.squares[i]) * unit * unit;
  sums.rows += 1;
  sums.pairs += static_cast<double>(n);
  sums.q_norm += query_norm;
  if (query_norm > 0) sums.cosine += static_cast<double>(run.cosine[i]) * scale / query_norm;
  if (n < 2) return;
  const double sum = static_cast<double>(run.sum[i]);
  const double entropy =
      std::log(sum) - static_cast<double>(run.weighted[i]) * static_cast<double>(kLn2) / sum;
  sums.wide_rows += 1;
  sums.entropy += entropy < 0 ? 0 : entropy;
  sums.entropy_norm += (entropy < 0 ? 0 : entropy) * inverse_log;
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
  const bool capped = p.softcap > 0;
  const float scale = static_cast<float>(p.scale), unit = capped ? kLog2E : scale * kLog2E;

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
        tile.multiply({key_rows + (j + r) * padded, padded, kWord<T>}, query_panel, padded, kTile, kTile,
                      scores + r * kTile, kTile, false);
        if (dropout != nullptr) fill_dropout(p, index, i, j + r, dropout + r * kTile);
      }
      const float* key_norms = Stats ? inverse_key_norm + j : nullptr;
      if (capped) cap_scores(limits, j, block, scale, static_cast<float>(p.softcap), scores, key_norms, run);
      alignas(64) float rescale[kTile];
      softmax_block<Stats>(limits, j, block, unit, scores, capped ? nullptr : key_norms, dropout, run,
                           weights, rescale);
      if (j > 0) {
        for (std::int64_t c = 0; c < out_rows; ++c)
          for (std::int64_t g = 0; g < kTile; g += lanes())
            store(hn::Mul(load(sum_out + c * kTile + g), load(rescale + g)), sum_out + c * kTile + g);
      }
      for (std::int64_t c = 0; c < width; c += kTile)
        tile.multiply(values.strip(tile, c, j), weights, block, strip_rows(width, c), kTile,
                      sum_out + c * kTile, kTile, true);
    }
    for (std::int64_t g = 0; g < kTile; g += lanes()) {
      const VF sum = load(run.sum + g);
      const VF inverse = hn::IfThenElseZero(hn::Ne(sum, hn::Zero(f32)), hn::Div(set(1), sum));
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
      facts[0] = run.max[r];
      facts[1] = std::log2(run.sum[r]);
      if (Stats && i + r < site.query_count) {
        const T* query = query_rows + r * padded;
        const auto n = static_cast<std::int64_t>(limits.count[r]);
        add_row_statistics(run, r, n, 1, std::sqrt(static_cast<double>(dot_of(query, query, width))),
                           static_cast<double>(unit / kLog2E), inverse_log[static_cast<std::size_t>(n)],
                           sums);
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
    t.rows += s.rows;
    t.wide_rows += s.wide_rows;
    t.pairs += s.pairs;
    t.keys += s.keys;
  }
  const auto mean = [](double sum, double n) { return n > 0 ? sum / n : 0; };
  AttentionStats out{t.logit_max,
                     t.logit_absmax,
                     std::sqrt(mean(t.squares, t.pairs)),
                     mean(t.entropy, t.wide_rows),
                     mean(t.entropy_norm, t.wide_rows),
                     mean(t.q_norm, t.rows),
                     mean(t.k_norm, t.keys),
                     mean(t.cosine, t.pairs)};
  // Vector maxima pass over NaN.
  if (std::isnan(out.logit_rms))
    out.logit_max = out.logit_absmax = out.entropy = out.entropy_norm = out.qk_cosine = out.logit_rms;
  return out;
}

template <class T>
void forward(const AttentionProblem& p, Heads<const T> q, Heads<const T> k, Heads<const T> v, T* out,
             float* wide, float* softmax, AttentionStats* stats) {
  const Problem<T> problem(p, q, k, v);
  const Tile<T>& tile = kernels::tile<T>();
  std::vector<HeadSums> sums(static_cast<std::size_t>(p.batch * p.heads));
  std::vector<double> inverse_log(static_cast<std::size_t>(p.keys + 1));
  for (std::size_t n = 2; n < inverse_log.size(); ++n) inverse_log[n] = 1 / std::log(static_cast<double>(n));
  parallel_for(p.batch * p.heads, [&](std::int64_t index) {
    HeadSums& own = sums[static_cast<std::size_t>(index)];
    if (stats != nullptr) forward_site<true>(problem, tile, index, inverse_log, out, wide, softmax, own);
    else forward_site<false>(problem, tile, index, inverse_log, out, wide, softmax, own);
  });
  if (stats == nullptr) return;
  for (std::int64_t h = 0; h < p.heads; ++h) stats[h] = statistics_of(sums, h, p);
}

// ----------------------------------------------------------------------------------------------- backward

/// What the gradient of a tile of scores needs of its 32 queries.
struct RowFacts {
  alignas(64) float max[kTile], log2_sum[kTile], product[kTile];  ///< of the softmax; <d out, out>
};

/// One tile: scores s and d_weights (both [key][query]) become weights and score gradients, row-major
/// [key][query] for the gradients of keys and values, and as panel words for those of the queries.
template <class T>
void score_gradients(const AttentionProblem& p, const Limits& limits, const RowFacts& facts, std::int64_t key,
                     const float* s, const float* d_weights, const float* dropout, T* weight_rows,
                     T* d_score_rows, T* d_score_panel) {
  const bool masked = key + kTile > limits.fewest, capped = p.softcap > 0;
  const float scale = static_cast<float>(p.scale), soft = static_cast<float>(p.softcap),
              unit = capped ? kLog2E : scale * kLog2E;
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
        VF weight = exp2<T>(hn::MulSub(hn::Sub(x, max), set(unit), log2_sum)),
           d_weight = load(d_weights + at);
        if (masked) {
          const auto shown = hn::Lt(set(static_cast<float>(row)), count);
          weight = hn::IfThenElseZero(shown, weight);
          d_weight = hn::IfThenElseZero(shown, d_weight);
        }
        VF kept = weight;
        if (dropout != nullptr) {
          kept = hn::Mul(weight, load(dropout + at));
          d_weight = hn::Mul(d_weight, load(dropout + at));
        }
        store_quick(kept, weight_rows + at);
        const VF d = hn::Mul(hn::Mul(weight, slope), hn::Sub(d_weight, product));
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
                   const Heads<T>& dv, float* d_gains) {
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
      tile.multiply({key_rows + j * padded, padded, kWord<T>}, query_panel, padded, kTile, kTile, s, kTile,
                    false);
      tile.multiply({value_rows + j * padded, padded, kWord<T>}, d_out_panel, padded, kTile, kTile, d_weights,
                    kTile, false);
      if (dropout != nullptr) fill_dropout(p, index, i, j, dropout);
      T* panel = d_score_panel + j * kTile;
      score_gradients(p, limits, facts, j, s, d_weights, dropout, weight_rows, d_score_rows, panel);
      // In fp32 a panel of 32 columns is row-major already.
      const T* d_scores = kWord<T> == 1 ? panel : d_score_rows;
      for (std::int64_t c = 0; c < width; c += kTile) {
        const std::int64_t some = panel_columns(width, c);
        tile.multiply({weight_rows, kTile, kWord<T>}, d_out_rows_panel + c * kTile, kTile, kTile, some,
                      d_values + j * columns + c, columns, true);
        tile.multiply({d_scores, kTile, kWord<T>}, query_rows_panel + c * kTile, kTile, kTile, some,
                      d_keys + j * columns + c, columns, true);
      }
    }
    for (std::int64_t c = 0; c < width; c += kTile) {
      alignas(64) float turned[kTile * kTile];
      if (seen == 0) clear(turned, kTile * kTile);
      else
        tile.multiply(key_strips.strip(tile, c, 0), d_score_panel, seen, strip_rows(width, c), kTile, turned,
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
      for (std::int64_t i = 0; i < n; ++i) {
        const auto u = static_cast<std::size_t>(i);
        value[u] = (value[u] - c.mean) * c.inverse_deviation;
        part[i] += slope[u] * value[u];
        slope[u] *= gain[i];
      }
      const float mean = sum_of(slope.data(), n) / static_cast<float>(n),
                  along = dot_of(slope.data(), value.data(), n) / static_cast<float>(n);
      for (std::size_t i = 0; i < value.size(); ++i)
        slope[i] = c.inverse_deviation * (slope[i] - mean - value[i] * along);
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
              float* d_query_gain, float* d_key_gain) {
  const Problem<T> problem(p, q, k, v);
  const Tile<T>& tile = kernels::tile<T>();
  const std::int64_t sites = p.batch * p.heads;
  std::vector<float> gains(static_cast<std::size_t>(sites * 2 * p.width));
  parallel_for(sites, [&](std::int64_t index) {
    backward_site(problem, tile, index, wide, softmax, d_out, dq, dk, dv, gains.data() + index * 2 * p.width);
  });
  if (p.norm.query_gain == nullptr) return;
  if (p.norm.whole) {
    normalise_back_whole(p, q, problem.query_centres, p.queries, p.norm.query_gain, dq, d_query_gain);
    normalise_back_whole(p, k, problem.key_centres, p.keys, p.norm.key_gain, dk, d_key_gain);
  } else {
    add_gain_gradients(p, gains, d_query_gain, d_key_gain);
  }
}

void forward_fp32(const AttentionProblem& p, Heads<const float> q, Heads<const float> k, Heads<const float> v,
                  float* out, float* wide, float* softmax, AttentionStats* stats) {
  forward(p, q, k, v, out, wide, softmax, stats);
}
void forward_bf16(const AttentionProblem& p, Heads<const bf16> q, Heads<const bf16> k, Heads<const bf16> v,
                  bf16* out, float* wide, float* softmax, AttentionStats* stats) {
  forward(p, q, k, v, out, wide, softmax, stats);
}
void backward_fp32(const AttentionProblem& p, Heads<const float> q, Heads<const float> k,
                   Heads<const float> v, const float* wide, const float* softmax, const float* d_out,
                   Heads<float> dq, Heads<float> dk, Heads<float> dv, float* d_query_gain,
                   float* d_key_gain) {
  backward(p, q, k, v, wide, softmax, d_out, dq, dk, dv, d_query_gain, d_key_gain);
}
void backward_bf16(const AttentionProblem& p, Heads<const bf16> q, Heads<const bf16> k, Heads<const bf16> v,
                   const float* wide, const float* softmax, const bf16* d_out, Heads<bf16> dq, Heads<bf16> dk,
                   Heads<bf16> dv, float* d_query_gain, float* d_key_gain) {
  backward(p, q, k, v, wide, softmax, d_out, dq, dk, dv, d_query_gain, d_key_gain);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenkeel::kernels {

HWY_EXPORT(forward_fp32);
HWY_EXPORT(forward_bf16);
HWY_EXPORT(backward_fp32);
HWY_EXPORT(backward_bf16);

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
template <>
void attention_backward(const AttentionProblem& p, Heads<const float> q, Heads<const float> k,
                        Heads<const float> v, const float* wide, const float* softmax, const float* d_out,
                        Heads<float> dq, Heads<float> dk, Heads<float> dv, float* d_query_gain,
                        float* d_key_gain) {
  HWY_DYNAMIC_DISPATCH(backward_fp32)(p, q, k, v, wide, softmax, d_out, dq, dk, dv, d_query_gain, d_key_gain);
}
template <>
void attention_backward(const AttentionProblem& p, Heads<const bf16> q, Heads<const bf16> k,
                        Heads<const bf16> v, const float* wide, const float* softmax, const bf16* d_out,
                        Heads<bf16> dq, Heads<bf16> dk, Heads<bf16> dv, float* d_query_gain,
                        float* d_key_gain) {
  HWY_DYNAMIC_DISPATCH(backward_bf16)(p, q, k, v, wide, softmax, d_out, dq, dk, dv, d_query_gain, d_key_gain);
}

}  // namespace evenkeel::kernels
#endif
