// A tree of modules with named parameters that know their role, fan and initialisation.
//
// Optimiser groups, interventions, telemetry and checkpoints need those facts, so they live with the
// parameter. Ownership: a module owns its parameters and children; both keep their address for the module's
// life.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::nn {

struct Context;
struct OpUse;

enum class Role { kEmbedding, kHead, kMatrix, kGain, kBias, kGamma };
enum class Init { kNormal, kTruncatedNormal, kUniform, kConstant, kOnes, kZeros };

struct Param {
  std::string
      name;  ///< path, e.g. "blocks.0.attn.q.weight"; the part after the last dot until the tree is named
  at::Tensor value;  ///< fp32 leaf that requires a gradient
  Role role = Role::kMatrix;
  std::int64_t fan_in = 0, fan_out = 0;
  Init init = Init::kZeros;
  double init_std = 0;         ///< of the drawn values, after truncation; with kConstant their value
  double rate = 1, decay = 1;  ///< factors of the learning rate and of the weight decay
  bool follows_rms = false;    ///< the rate is multiplied by the RMS of the values too, 1e-3 at least
  bool trainable = true;       ///< false: no optimiser gets to see it
  /// Gains and biases are spared weight decay unless optim.decay_gains, gammas unless optim.decay_gammas.
  bool is_matrix() const { return role != Role::kGain && role != Role::kBias && role != Role::kGamma; }
};

/// State that is not trained but belongs to the model, such as a singular vector: it is saved with it.
struct Buffer {
  std::string name;  ///< path, like a parameter's
  at::Tensor value;  ///< fp32; replaced rather than written to, so that a graph keeps the one it used
};

class Module {
 public:
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// All parameters of this module and its children: own ones first, then children, each in order of
  /// declaration.
  std::vector<Param*> parameters();
  /// All buffers, in the same order.
  std::vector<Buffer*> buffers();
  /// Total number of values in parameters().
  std::int64_t count();
  /// Calls `visitor` on this module and then on every module below, in order of declaration.
  void visit(const std::function<void(Module&)>& visitor);
  /// The ops that this module itself (not its children) would run in `context`.
  virtual std::vector<OpUse> op_uses(const Context& context) const;
  /// What this module itself does once its parameters are drawn; `seed` is that of the draw.
  virtual void parameters_drawn(std::uint64_t /*seed*/) {}
  /// What this module itself does to its parameters after each optimiser step, before any after_update: one
  /// module after the other.
  virtual void constrain_parameters() {}
  /// What this module itself does after each optimiser step; several may at the same time, on threads.
  virtual void after_update() {}
  /// Moves every parameter (dropping gradients), buffer and constant table to another type or device: double
  /// for checks, the meta device to see shapes alone.
  void convert(const at::TensorOptions& options);
  /// Sets the path of this module, of everything below it and of every parameter. The root's path is "".
  void name_tree(const std::string& path = "");
  /// Where this module hangs, e.g. "blocks.0.attn"; valid after name_tree.
  const std::string& path() const { return path_; }

 protected:
  Module() = default;
  /// Declares a parameter filled with zeros; `name` without dots.
  Param& add_param(std::string name, std::vector<std::int64_t> shape, Role role, Init init,
                   double init_std = 0);
  /// Declares a buffer; `name` without dots.
  Buffer& add_buffer(std::string name, at::Tensor value);
  /// Takes `child` in under `name` (dots allowed, as in "blocks.0") and returns it. Without a name its things
  /// are named as if they were this module's own.
  template <class M>
  M& add_child(std::string name, std::unique_ptr<M> child) {
    M& reference = *child;
    children_.emplace_back(std::move(name), std::move(child));
    return reference;
  }
  /// Modules with constant tables rebuild them so.
  virtual void convert_buffers(const at::TensorOptions&) {}

 private:
  std::string path_;
  std::vector<std::unique_ptr<Param>> params_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::vector<std::pair<std::string, std::unique_ptr<Module>>> children_;
};

/// Throws std::logic_error when a slot that holds one treatment already has an `occupant`: its parameters
/// would go on to be trained and saved although nothing calls it.
void require_free(const std::string& slot, const std::string& occupant, const std::string& newcomer);

/// Names the tree, draws every parameter and tells the modules. A parameter is drawn from (seed, stream
/// "init/" + its name), so a parameter's start depends on nothing but the seed and its own name. Normal, or
/// truncated normal at 2 sigma with sigma / 0.8796257 so that the standard deviation after truncation is
/// init_std (arXiv 2309.14322; Flax "lecun normal").
void initialise(Module& root, std::uint64_t seed);

}  // namespace evenkeel::nn
