#include "evenkeel/kernels/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "evenkeel/kernels/matmul.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "evenkeel/kernels/activation-inl.h"
#include "evenkeel/kernels/parallel.h"
#include "evenkeel/kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace evenkeel::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Panels of W^T: y = x W^T contracts over the columns of W.
template <class T>
const T* pack_forward(const Tile<T>& tile, const WeightRows& weight, std::int64_t k, Scratch<T>& memory) {
  const auto n = static_cast<std::int64_t>(weight.size());
  const std::int64_t k_padded = round_up(k, tile.k_step);
  T* panels = memory.get(panels_size(tile, k, n));
  parallel_for((n + kTile - 1) / kTile, [&](std::int64_t p) {
    const std::int64_t j = p * kTile;
    pack_columns([&](std::int64_t c) { return weight[static_cast<std::size_t>(j + c)]; }, k,
                 std::min(kTile, n - j), panel_columns(n, j), k_padded, panels + j * k_padded);
  });
  return panels;
}

/// Panels of W: dx = dy W contracts over the rows of W.
template <class T>
const T* pack_backward(const Tile<T>& tile, const WeightRows& weight, std::int64_t k, Scratch<T>& memory) {
  const auto n = static_cast<std::int64_t>(weight.size());
  const std::int64_t n_padded = round_up(n, tile.k_step);
  T* panels = memory.get(panels_size(tile, n, k));
  parallel_for((k + kTile - 1) / kTile, [&](std::int64_t p) {
    const std::int64_t j = p * kTile;
    pack_rows([&](std::int64_t i) { return weight[static_cast<std::size_t>(i)] + j; }, n,
              std::min(kTile, k - j), panel_columns(k, j), n_padded, panels + j * n_padded);
  });
  return panels;
}

/// Rows that one thread takes at a time; no bit depends on it.
std::int64_t block_rows(std::int64_t m) {
  return m >= 8 * kBlockRows ? kBlockRows : kTile;
}

template <class T, class Body>
void for_row_blocks(const Tile<T>& tile, std::int64_t m, const Body& body) {
  const std::int64_t step = block_rows(m);
  parallel_for((m + step - 1) / step, [&](std::int64_t block) {
    const TileScope<T> scope(tile);
    body(scope, block * step, std::min(step, m - block * step));
  });
}

/// An epilogue that stores a tile (+ bias) at y, whose rows have n values.
template <class T>
auto store_tile(T* y, std::int64_t n, const float* bias) {
  return [=](std::int64_t row, std::int64_t column, std::int64_t rows, std::int64_t columns, const float* c) {
    for_vectors(rows, columns, [&](std::int64_t r, std::int64_t j, std::int64_t count) EVENKEEL_INLINE {
      VF v = load(c + r * kTile + j);
      if (bias != nullptr) v = hn::Add(v, load_n(bias + column + j, count));
      store_n(v, y + (row + r) * n + column + j, count);
    });
  };
}

template <class T>
void forward(const T* x, std::int64_t m, std::int64_t k, const WeightRows& weight, const float* bias, T* y) {
  static thread_local Scratch<T> memory;
  const Tile<T>& tile = kernels::tile<T>();
  const auto n = static_cast<std::int64_t>(weight.size());
  const T* panels = pack_forward(tile, weight, k, memory);
  for_row_blocks(tile, m, [&](const TileScope<T>& scope, std::int64_t first, std::int64_t rows) {
    static thread_local RowScratch<T> scratch;
    multiply_rows(scope, x + first * k, k, rows, panels, n, k, scratch, store_tile(y + first * n, n, bias));
  });
}

template <class T>
void backward_input(const T* dy, std::int64_t m, std::int64_t k, const WeightRows& weight, T* dx) {
  static thread_local Scratch<T> memory;
  const Tile<T>& tile = kernels::tile<T>();
  const auto n = static_cast<std::int64_t>(weight.size());
  const T* panels = pack_backward(tile, weight, k, memory);
  for_row_blocks(tile, m, [&](const TileScope<T>& scope, std::int64_t first, std::int64_t rows) {
    static thread_local RowScratch<T> scratch;
    multiply_rows(scope, dy + first * n, n, rows, panels, k, n, scratch,
                  store_tile<T>(dx + first * k, k, nullptr));
  });
}

/// Tokens whose products are summed in one tile before they are added to the gradient.
constexpr std::int64_t kTokens = 1024;
constexpr std::int64_t kFewTokens = 64;  ///< what a thread packs at a time

template <class T>
void backward_weight(const T* dy, const T* x, std::int64_t m, std::int64_t k, const GradientRows& gradient) {
  static thread_local Scratch<T> left_memory, right_memory;
  const Tile<T>& tile = kernels::tile<T>();
  const auto n = static_cast<std::int64_t>(gradient.size());
  const std::int64_t strips = (n + kTile - 1) / kTile, panels = (k + kTile - 1) / kTile;
  const std::int64_t most = round_up(std::min(kTokens, m), tile.k_step);
  T* left = left_memory.get(strips * kTile * most);
  T* right = right_memory.get(panels * kTile * most);
  // Few strips: their panels are shared out as well.
  const std::int64_t groups = std::min(panels, strips >= 8 ? 1 : (8 + strips - 1) / strips);
  for (std::int64_t t = 0; t < m; t += kTokens) {
    const std::int64_t tokens = std::min(kTokens, m - t), padded = round_up(tokens, tile.k_step);
    // Whole rows of a few tokens at a time, so that memory is read in order.
    parallel_for((padded + kFewTokens - 1) / kFewTokens, [&](std::int64_t group) {
      const std::int64_t first = group * kFewTokens, all = std::min(kFewTokens, padded - first),
                         valid = std::clamp<std::int64_t>(tokens - first, 0, all);
      for (std::int64_t i = 0; i < n; i += kTile) {
        pack_transposed(
            tile, [&](std::int64_t r) { return dy + (t + first + r) * n + i; }, valid, std::min(kTile, n - i),
            all, padded, left + i * padded + first * (tile.transposed_is_panel ? kTile : 1));
      }
      for (std::int64_t j = 0; j < k; j += kTile) {
        const std::int64_t columns = panel_columns(k, j);
        pack_rows([&](std::int64_t r) { return x + (t + first + r) * k + j; }, valid, std::min(kTile, k - j),
                  columns, all, right + j * padded + first * columns);
      }
    });
    parallel_for(strips * groups, [&](std::int64_t task) {
      const TileScope<T> scope(tile);
      const std::int64_t strip = task / groups, group = task % groups, row = strip * kTile;
      const OperandA<T> a =
          tile.transposed_is_panel
              ? OperandA<T>{left + row * padded, kWord<T>, kTile * kWord<T>}
              : OperandA<T>{left + row * padded, static_cast<std::ptrdiff_t>(padded), kWord<T>};
      alignas(64) float c[kTile * kTile];
      for (std::int64_t p = panels * group / groups; p < panels * (group + 1) / groups; ++p) {
        const std::int64_t j = p * kTile;
        scope.multiply(a, right + j * padded, padded, kTile, panel_columns(k, j), c, kTile, false);
        for_vectors(std::min(kTile, n - row), std::min(kTile, k - j),
                    [&](std::int64_t r, std::int64_t v, std::int64_t count) EVENKEEL_INLINE {
                      float* out = gradient[static_cast<std::size_t>(row + r)] + j + v;
                      VF sum = load(c + r * kTile + v);
                      if (t > 0) sum = hn::Add(sum, load_n(out, count));
                      store_n(sum, out, count);
                    });
      }
    });
  }
}

template <class T>
void add_rows(const T* dy, std::int64_t m, std::int64_t n, float* db) {
  parallel_for((n + kTile - 1) / kTile, [&](std::int64_t strip) {
    const std::int64_t first = strip * kTile, count = std::min(kTile, n - first);
    for (std::int64_t j = 0; j < count; j += lanes()) {
      const std::int64_t some = std::min(lanes(), count - j);
      VF total = hn::Zero(f32);
      for (std::int64_t t = 0; t < m; t += kTokens) {
        VF part = hn::Zero(f32);
        for (std::int64_t i = t; i < std::min(m, t + kTokens); ++i)
          part = hn::Add(part, load_n(dy + i * n + first + j, some));
        total = hn::Add(total, part);
      }
      store_n(total, db + first + j, some);
    }
  });
}

template <Activation A, class T>
void mlp_forward_as(const Mlp& mlp, const T* x, T* pre, T* y) {
  static thread_local Scratch<T> memory1, memory2;
  const Tile<T>& tile = kernels::tile<T>();
  const std::int64_t d = mlp.width, f = mlp.hidden;
  const T *w1 = pack_forward(tile, mlp.w1, d, memory1), *w2 = pack_forward(tile, mlp.w2, f, memory2);
  for_row_blocks(tile, mlp.rows, [&](const TileScope<T>& scope, std::int64_t first, std::int64_t rows) {
    static thread_local RowScratch<T> scratch;
    static thread_local Scratch<T> hidden;
    T* act = hidden.get(kBlockRows * f);
    const auto epilogue = [&](std::int64_t row, std::int64_t column, std::int64_t some_rows,
                              std::int64_t columns, const float* c) {
      for_vectors(some_rows, columns,
                  [&](std::int64_t r, std::int64_t j, std::int64_t count) EVENKEEL_INLINE {
                    VF v = load(c + r * kTile + j);
                    if (mlp.bias1 != nullptr) v = hn::Add(v, load_n(mlp.bias1 + column + j, count));
                    const std::int64_t at = (row + r) * f + column + j;
                    // What the backward pass will see, so that value and slope belong to the same point.
                    v = stored_as<T>(v);
                    if (pre != nullptr) store_n(v, pre + first * f + at, count);
                    store_n(activate<A, T>(v).value, act + at, count);
                  });
    };
    multiply_rows(scope, x + first * d, d, rows, w1, f, d, scratch, epilogue);
    multiply_rows(scope, act, f, rows, w2, d, f, scratch, store_tile(y + first * d, d, mlp.bias2));
  });
}

template <Activation A, class T>
void mlp_backward_as(const Mlp& mlp, const T* dy, T* pre, T* act, T* dx) {
  static thread_local Scratch<T> memory1, memory2;
  const Tile<T>& tile = kernels::tile<T>();
  const std::int64_t d = mlp.width, f = mlp.hidden;
  const T *w1 = pack_backward(tile, mlp.w1, d, memory1), *w2 = pack_backward(tile, mlp.w2, f, memory2);
  for_row_blocks(tile, mlp.rows, [&](const TileScope<T>& scope, std::int64_t first, std::int64_t rows) {
    static thread_local RowScratch<T> scratch;
    const auto epilogue = [&](std::int64_t row, std::int64_t column, std::int64_t some_rows,
                              std::int64_t columns, const float* c) {
      for_vectors(some_rows, columns,
                  [&](std::int64_t r, std::int64_t j, std::int64_t count) EVENKEEL_INLINE {
                    const std::int64_t at = (first + row + r) * f + column + j;
                    const Activated a = activate<A, T>(load_n(pre + at, count));
                    store_n(a.value, act + at, count);
                    store_n(hn::Mul(load(c + r * kTile + j), a.slope), pre + at, count);
                  });
    };
    multiply_rows(scope, dy + first * d, d, rows, w2, f, d, scratch, epilogue);
    multiply_rows(scope, static_cast<const T*>(pre + first * f), f, rows, w1, d, f, scratch,
                  store_tile<T>(dx + first * d, d, nullptr));
  });
}

template <class T>
void mlp_forward_any(const Mlp& mlp, const T* x, T* pre, T* y) {
  switch (mlp.activation) {
    case Activation::kGeluTanh:
      return mlp_forward_as<Activation::kGeluTanh>(mlp, x, pre, y);
    case Activation::kGeluErf:
      return mlp_forward_as<Activation::kGeluErf>(mlp, x, pre, y);
    case Activation::kRelu:
      return mlp_forward_as<Activation::kRelu>(mlp, x, pre, y);
  }
}
template <class T>
void mlp_backward_any(const Mlp& mlp, const T* dy, T* pre, T* act, T* dx) {
  switch (mlp.activation) {
    case Activation::kGeluTanh:
      return mlp_backward_as<Activation::kGeluTanh>(mlp, dy, pre, act, dx);
    case Activation::kGeluErf:
      return mlp_backward_as<Activation::kGeluErf>(mlp, dy, pre, act, dx);
    case Activation::kRelu:
      return mlp_backward_as<Activation::kRelu>(mlp, dy, pre, act, dx);
  }
}

// The table of targets knows no templates.
void forward_fp32(const float* x, std::int64_t m, std::int64_t k, const WeightRows& w, const float* b,
                  float* y) {
  forward(x, m, k, w, b, y);
}
void forward_bf16(const bf16* x, std::int64_t m, std::int64_t k, const WeightRows& w, const float* b,
                  bf16* y) {
  forward(x, m, k, w, b, y);
}
void input_fp32(const float* dy, std::int64_t m, std::int64_t k, const WeightRows& w, float* dx) {
  backward_input(dy, m, k, w, dx);
}
void input_bf16(const bf16* dy, std::int64_t m, std::int64_t k, const WeightRows& w, bf16* dx) {
  backward_input(dy, m, k, w, dx);
}
void weight_fp32(const float* dy, const float* x, std::int64_t m, std::int64_t k, const GradientRows& g) {
  backward_weight(dy, x, m, k, g);
}
void weight_bf16(const bf16* dy, const bf16* x, std::int64_t m, std::int64_t k, const GradientRows& g) {
  backward_weight(dy, x, m, k, g);
}
void rows_fp32(const float* dy, std::int64_t m, std::int64_t n, float* db) {
  add_rows(dy, m, n, db);
}
void rows_bf16(const bf16* dy, std::int64_t m, std::int64_t n, float* db) {
  add_rows(dy, m, n, db);
}
void mlp_forward_fp32(const Mlp& mlp, const float* x, float* pre, float* y) {
  mlp_forward_any(mlp, x, pre, y);
}
void mlp_forward_bf16(const Mlp& mlp, const bf16* x, bf16* pre, bf16* y) {
  mlp_forward_any(mlp, x, pre, y);
}
void mlp_backward_fp32(const Mlp& mlp, const float* dy, float* pre, float* act, float* dx) {
  mlp_backward_any(mlp, dy, pre, act, dx);
}
void mlp_backward_bf16(const Mlp& mlp, const bf16* dy, bf16* pre, bf16* act, bf16* dx) {
  mlp_backward_any(mlp, dy, pre, act, dx);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace evenkeel::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace evenkeel::kernels {

HWY_EXPORT(forward_fp32);
HWY_EXPORT(forward_bf16);
HWY_EXPORT(input_fp32);
HWY_EXPORT(input_bf16);
HWY_EXPORT(weight_fp32);
HWY_EXPORT(weight_bf16);
HWY_EXPORT(rows_fp32);
HWY_EXPORT(rows_bf16);
HWY_EXPORT(mlp_forward_fp32);
HWY_EXPORT(mlp_forward_bf16);
HWY_EXPORT(mlp_backward_fp32);
HWY_EXPORT(mlp_backward_bf16);

template <>
void linear_forward(const float* x, std::int64_t m, std::int64_t k, const WeightRows& w, const float* b,
                    float* y) {
  HWY_DYNAMIC_DISPATCH(forward_fp32)(x, m, k, w, b, y);
}
template <>
void linear_forward(const bf16* x, std::int64_t m, std::int64_t k, const WeightRows& w, const float* b,
                    bf16* y) {
  HWY_DYNAMIC_DISPATCH(forward_bf16)(x, m, k, w, b, y);
}
template <>
void linear_backward_input(const float* dy, std::int64_t m, std::int64_t k, const WeightRows& w, float* dx) {
  HWY_DYNAMIC_DISPATCH(input_fp32)(dy, m, k, w, dx);
}
template <>
void linear_backward_input(const bf16* dy, std::int64_t m, std::int64_t k, const WeightRows& w, bf16* dx) {
  HWY_DYNAMIC_DISPATCH(input_bf16)(dy, m, k, w, dx);
}
template <>
void linear_backward_weight(const float* dy, const float* x, std::int64_t m, std::int64_t k,
                            const GradientRows& g) {
  HWY_DYNAMIC_DISPATCH(weight_fp32)(dy, x, m, k, g);
}
template <>
void linear_backward_weight(const bf16* dy, const bf16* x, std::int64_t m, std::int64_t k,
                            const GradientRows& g) {
  HWY_DYNAMIC_DISPATCH(weight_bf16)(dy, x, m, k, g);
}
template <>
void sum_rows(const float* dy, std::int64_t m, std::int64_t n, float* db) {
  HWY_DYNAMIC_DISPATCH(rows_fp32)(dy, m, n, db);
}
template <>
void sum_rows(const bf16* dy, std::int64_t m, std::int64_t n, float* db) {
  HWY_DYNAMIC_DISPATCH(rows_bf16)(dy, m, n, db);
}
template <>
void mlp_forward(const Mlp& mlp, const float* x, float* pre, float* y) {
  HWY_DYNAMIC_DISPATCH(mlp_forward_fp32)(mlp, x, pre, y);
}
template <>
void mlp_forward(const Mlp& mlp, const bf16* x, bf16* pre, bf16* y) {
  HWY_DYNAMIC_DISPATCH(mlp_forward_bf16)(mlp, x, pre, y);
}
template <>
void mlp_backward(const Mlp& mlp, const float* dy, float* pre, float* act, float* dx) {
  HWY_DYNAMIC_DISPATCH(mlp_backward_fp32)(mlp, dy, pre, act, dx);
}
template <>
void mlp_backward(const Mlp& mlp, const bf16* dy, bf16* pre, bf16* act, bf16* dx) {
  HWY_DYNAMIC_DISPATCH(mlp_backward_bf16)(mlp, dy, pre, act, dx);
}

}  // namespace evenkeel::kernels
#endif
