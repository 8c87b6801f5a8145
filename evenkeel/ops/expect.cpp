#include "evenkeel/ops/expect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace evenkeel::ops {
namespace {

std::string described(const std::vector<std::string>& types, at::IntArrayRef sizes) {
  std::vector<std::string> numbers;
  for (const std::int64_t size : sizes) numbers.push_back(size == kAny ? "any" : std::to_string(size));
  return fmt::format("{} [{}]", fmt::join(types, " or "), fmt::join(numbers, ", "));
}

bool fits(at::IntArrayRef sizes, Expect::Sizes expected) {
  return std::equal(sizes.begin(), sizes.end(), expected.begin(), expected.end(),
                    [](std::int64_t size, std::int64_t wanted) { return wanted == kAny || size == wanted; });
}

}  // namespace

void Expect::tensor(const char* name, const at::Tensor& t, Sizes sizes, Types types) const {
  if (t.defined() && std::find(types.begin(), types.end(), t.scalar_type()) != types.end() &&
      fits(t.sizes(), sizes))
    return;
  std::vector<std::string> names;
  for (const at::ScalarType type : types) names.emplace_back(c10::toString(type));
  fail(fmt::format("{} must be {}, got {}", name, described(names, sizes),
                   t.defined() ? described({c10::toString(t.scalar_type())}, t.sizes()) : "none"));
}

void Expect::optional(const char* name, const at::Tensor& t, Sizes sizes, Types types) const {
  if (t.defined()) tensor(name, t, sizes, types);
}

void Expect::contiguous(const char* name, const at::Tensor& t) const {
  if (t.defined() && !t.is_contiguous())
    fail(fmt::format("{} must be contiguous, got strides [{}]", name, fmt::join(t.strides(), ", ")));
}

void Expect::that(bool holds, const char* sentence) const {
  if (!holds) fail(sentence);
}

void Expect::fail(const std::string& sentence) const {
  throw std::invalid_argument(fmt::format("[ops.{}] {}", op_, sentence));
}

}  // namespace evenkeel::ops
