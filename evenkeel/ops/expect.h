// What an op expects of the tensors it is given, checked at its border: kernels read through raw pointers and
// would take a wrong type, size or layout for numbers.
//
// A failed check throws std::invalid_argument with one sentence, such as
// "[ops.attention] query_lengths must be Long [4], got Int [4]". Checks look at no value and cost some
// comparisons; the sentence is made only when it is thrown.
#pragma once

#include <ATen/core/Tensor.h>

#include <initializer_list>
#include <string>

namespace evenkeel::ops {

/// A size that may be any.
constexpr std::int64_t kAny = -1;

class Expect {
 public:
  using Sizes = std::initializer_list<std::int64_t>;
  using Types = std::initializer_list<at::ScalarType>;

  /// `op` is the name of a function of ops.
  explicit Expect(const char* op) : op_(op) {}

  /// `t` is defined, of one of `types` and of these sizes.
  void tensor(const char* name, const at::Tensor& t, Sizes sizes, Types types) const;
  /// The same unless `t` is undefined.
  void optional(const char* name, const at::Tensor& t, Sizes sizes, Types types) const;
  /// The values of `t`, unless it is undefined, lie one after the other.
  void contiguous(const char* name, const at::Tensor& t) const;
  /// Anything else: `sentence` says what is expected and what there is.
  void that(bool holds, const char* sentence) const;

 private:
  [[noreturn]] void fail(const std::string& sentence) const;

  const char* op_;
};

/// The type of weights, gains and biases beside activations of `type`: double beside double, else fp32.
inline at::ScalarType parameter_type(at::ScalarType type) {
  return type == at::kDouble ? at::kDouble : at::kFloat;
}

}  // namespace evenkeel::ops
