#include "evenkeel/ops/rotary.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "evenkeel/ops/expect.h"

namespace evenkeel::ops {

std::pair<at::Tensor, at::Tensor> rotary_table(std::int64_t positions, std::int64_t head_width, double base) {
  const std::int64_t pairs = head_width / 2;
  at::Tensor cos = at::empty({positions, pairs}, at::kDouble),
             sin = at::empty({positions, pairs}, at::kDouble);
  double *c = cos.data_ptr<double>(), *s = sin.data_ptr<double>();
  for (std::int64_t t = 0; t < positions; ++t)
    for (std::int64_t i = 0; i < pairs; ++i) {
      const double frequency =
          std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(head_width));
      c[t * pairs + i] = std::cos(static_cast<double>(t) * frequency);
      s[t * pairs + i] = std::sin(static_cast<double>(t) * frequency);
    }
  return {cos, sin};
}

at::Tensor rotary(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const Expect expect("rotary");
  expect.tensor("x", x, {kAny, kAny, kAny, kAny}, {at::kFloat, at::kBFloat16, at::kDouble});
  expect.that(x.size(3) % 2 == 0, "x must have an even width of heads");
  for (const auto& [name, table] : {std::pair{"cos", cos}, std::pair{"sin", sin}}) {
    expect.tensor(name, table, {kAny, x.size(3) / 2}, {x.scalar_type()});
    expect.that(table.size(0) >= x.size(1), "cos and sin must have a row for every position");
  }
  const std::int64_t time = x.size(1), half = x.size(3) / 2;
  const at::Tensor c = cos.narrow(0, 0, time).unsqueeze(1), s = sin.narrow(0, 0, time).unsqueeze(1);
  const at::Tensor first = x.narrow(3, 0, half), second = x.narrow(3, half, half);
  return at::cat({first * c - second * s, second * c + first * s}, 3).transpose(1, 2).contiguous();
}

}  // namespace evenkeel::ops
