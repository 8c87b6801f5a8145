// What the forward and the backward pass of attention share: one (sequence, head) and its rows, visible keys,
// dropout, and how weights are stored for the next product.
#if defined(EVENKEEL_KERNELS_ATTENTION_SITE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVENKEEL_KERNELS_ATTENTION_SITE_INL_H_
#undef EVENKEEL_KERNELS_ATTENTION_SITE_INL_H_
#else
#define EVENKEEL_KERNELS_ATTENTION_SITE_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <vector>

#include "evenkeel/kernels/attention.h"
#include "evenkeel/kernels/attention_load-inl.h"
#include "evenkeel/kernels/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr float kLog2E = 1.44269504f;

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

/// What a score times which is the logit in powers of two. A score is <q, k>, or the logit itself where it is
/// capped.
float score_unit(const AttentionProblem& p) {
  return p.score.softcap > 0 ? kLog2E : static_cast<float>(p.score.scale) * kLog2E;
}

/// The logit of a head's sink as such a score.
template <class T>
float sink_score(const AttentionProblem& p, const Site<T>& site, float unit) {
  return p.sinks[site.head] * (kLog2E / unit);
}

/// 1 / sqrt(T) of squared ReLU.
template <class T>
float inverse_root_positions(const AttentionProblem& p, const Site<T>& site) {
  const double positions = p.score.positions > 0 ? p.score.positions : static_cast<double>(site.key_count);
  return static_cast<float>(1 / std::sqrt(std::max(positions, 1.0)));
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

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#endif
