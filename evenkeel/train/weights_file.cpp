#include "evenkeel/train/weights_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <ATen/ops/isfinite.h>
#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <vector>

#include "evenkeel/base/error.h"
#include "evenkeel/base/version.h"
#include "evenkeel/nn/embedding.h"
#include "evenkeel/nn/linear.h"
#include "evenkeel/nn/weight_transform.h"
#include "evenkeel/runs/safetensors.h"
#include "evenkeel/train/admin_profile.h"
#include "evenkeel/train/evaluate.h"
#include "evenkeel/train/load_run.h"
#include "evenkeel/train/state.h"

namespace evenkeel::train {
namespace {

std::vector<nn::WeightTransform*> transforms_of(nn::Module& model) {
  std::vector<nn::WeightTransform*> all;
  model.visit([&](nn::Module& module) {
    if (auto* transform = dynamic_cast<nn::WeightTransform*>(&module)) all.push_back(transform);
  });
  return all;
}

/// The parameters that are not those of treatments of the weights.
std::vector<nn::Param*> untreated_parameters(nn::Module& model) {
  std::set<const nn::Param*> own;
  for (nn::WeightTransform* transform : transforms_of(model))
    for (const nn::Param* p : transform->parameters()) own.insert(p);
  std::vector<nn::Param*> all;
  for (nn::Param* p : model.parameters())
    if (own.count(p) == 0) all.push_back(p);
  return all;
}

/// The parameters that a plain model has too.
std::vector<nn::Param*> plain_parameters(nn::Module& model) {
  std::set<std::string> omegas;
  for (const nn::Residual* sublayer : sublayers_with_omega(model)) omegas.insert(sublayer->omega_name());
  std::vector<nn::Param*> plain = untreated_parameters(model);
  std::erase_if(plain, [&](const nn::Param* p) { return omegas.count(p->name) > 0; });
  return plain;
}

/// Fields of [interventions] that change what the weights compute and have no tensor of their own.
constexpr std::array kSilentTreatments{
    "attention_scale", "attention_softcap", "attention_sink", "attention_function",
    "kappa",           "output_softcap",    "embedding",      "mu_param",
    "mu/base_width",   "mu/base_depth",     "mu/alpha"};

Json field_of(const Json& interventions, const char* field) {
  return interventions.at(Json::json_pointer(std::string("/") + field));
}

/// Those of `spec` that are on.
Json silent_treatments(const InterventionsSpec& spec) {
  InterventionsSpec told = spec;
  // The smaller forms change rates and the start alone; the base counts in complete_p alone.
  if (spec.mu_param == MuParam::kSimple || spec.mu_param == MuParam::kIntermediate)
    told.mu_param = MuParam::kOff;
  if (spec.mu_param != MuParam::kCompleteP) told.mu = {};
  if (spec.attention_sink == AttentionSink::kLearnable)
    told.attention_sink = AttentionSink::kOff;  // has a tensor
  const Json all = to_json(told), defaults = to_json(InterventionsSpec{});
  Json on = Json::object();
  for (const char* field : kSilentTreatments)
    if (field_of(all, field) != field_of(defaults, field)) on[field] = field_of(all, field);
  return on;
}

at::Tensor foldable_omega(const nn::Residual& sublayer) {
  constexpr double kLeast = 1e-6;
  const at::Tensor omega = sublayer.omega().detach();
  const double least = omega.abs().min().item<double>();
  if (!(least > kLeast)) {
    throw InputError(fmt::format(
        "{} holds a value of size {:.3g}, and every omega must be above {:g} in size to be folded "
        "into the weights that read it; export without --fold",
        sublayer.omega_name(), least, kLeast));
  }
  return omega;
}

/// A table that something else reads too cannot take in what only one of the two is treated with.
void require_foldable_tables(models::Model& model, const nn::Context& context) {
  std::set<std::string> tied, normed;
  model.visit([&](nn::Module& module) {
    if (const auto* layer = dynamic_cast<const nn::Linear*>(&module); layer != nullptr) {
      if (layer->weight.role != nn::Role::kEmbedding) return;
      tied.insert(layer->weight.name);
      if (nn::weights_in_use({layer}, context)[0].equal(layer->weight.value)) return;
      throw InputError(fmt::format(
          "{} is read by the embedding as it is and by the output with the treatment of its weights, "
          "so that one plain matrix cannot be both; export without --fold",
          layer->weight.name));
    }
    if (const auto* embedding = dynamic_cast<const nn::Embedding*>(&module);
        embedding != nullptr && embedding->has_norm())
      normed.insert(embedding->weight.name);
  });
  for (const models::OmegaFold& fold : model.omega_folds())
    for (const std::string& name : fold.producers)
      if (tied.count(name) + normed.count(name) > 0)
        throw InputError(fmt::format(
            "{} would take in {}, but {}; export without --fold", name, fold.sublayer->omega_name(),
            tied.count(name) > 0 ? "it is the output's matrix too" : "its rows are normed"));
}

at::Tensor tensor_of(const runs::TensorBytes& bytes, const std::filesystem::path& file) {
  const bool wide = bytes.type == runs::TensorType::kF32;
  if (!wide && bytes.type != runs::TensorType::kBf16) {
    throw InputError(fmt::format("{} holds tensor {} as {}, expected F32 or BF16", file.string(), bytes.name,
                                 runs::tensor_type_name(bytes.type)));
  }
  at::Tensor tensor = at::empty(bytes.shape, wide ? at::kFloat : at::kBFloat16);
  std::memcpy(tensor.data_ptr(), bytes.data.data(), bytes.data.size());
  tensor = tensor.to(at::kFloat);
  if (!tensor.isfinite().all().item<bool>())
    throw InputError(
        fmt::format("{} holds values in tensor {} that are not finite", file.string(), bytes.name));
  return tensor;
}

}  // namespace

std::map<std::string, at::Tensor> treated_weights(nn::Module& model, const nn::Context& context) {
  const c10::AutoGradMode no_grad(false);
  std::map<std::string, at::Tensor> weights;
  for (const nn::Param* p : untreated_parameters(model)) weights[p->name] = p->value.detach();
  for (const nn::WeightTransform* transform : transforms_of(model)) {
    const std::vector<at::Tensor> used = transform->forward(context);
    for (std::size_t i = 0; i < used.size(); ++i)
      weights[transform->members()[i]->weight.name] = used[i].contiguous();
  }
  return weights;
}

std::map<std::string, at::Tensor> folded_weights(models::Model& model, const nn::Context& context) {
  const c10::AutoGradMode no_grad(false);
  require_foldable_tables(model, context);
  std::map<std::string, at::Tensor> weights = treated_weights(model, context);
  std::map<std::string, at::Tensor> scales = model.embedding_scales();
  std::erase_if(scales, [&](const auto& scale) { return weights.count(scale.first) > 0; });
  weights.insert(scales.begin(), scales.end());
  for (const models::OmegaFold& fold : model.omega_folds()) {
    const at::Tensor omega = foldable_omega(*fold.sublayer);
    weights.erase(fold.sublayer->omega_name());
    for (const std::string& name : fold.producers) weights[name] = weights.at(name) * omega;
    for (const nn::Linear* layer : fold.readers) {
      at::Tensor& w = weights.at(layer->weight.name);
      w = w / omega;
    }
  }
  // An omega that never left 1 leaves the model as plain as any.
  const bool needed = std::any_of(scales.begin(), scales.end(), [&](const auto& scale) {
    return weights.at(scale.first).ne(1).any().template item<bool>();
  });
  for (const auto& [name, ones] : scales)
    if (!needed) weights.erase(name);
  return weights;
}

namespace {

/// What an earlier export wrote may be replaced, and nothing else.
void refuse_foreign(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error) || std::filesystem::file_size(file, error) == 0) return;
  try {
    if (runs::read_safetensors(file).metadata.contains("evenkeel")) return;
  } catch (const InputError&) {
    // No safetensors file.
  }
  throw InputError(fmt::format(
      "{} is there and was not written by `evenkeel export`, so it is not replaced; move it away, "
      "or choose another --out",
      file.string()));
}

}  // namespace

Exported export_weights(const std::filesystem::path& run, std::optional<std::int64_t> step,
                        std::int64_t average, bool fold, const std::filesystem::path& file) {
  refuse_foreign(file);
  const LoadedRun loaded = load_run(run, step, average);
  ArchSpec arch = loaded.manifest.experiment.arch;
  std::map<std::string, at::Tensor> folded;  // owns what the bytes are of
  std::vector<runs::TensorBytes> tensors;
  if (fold) {
    folded = folded_weights(*loaded.model, pass_context(loaded.manifest.experiment.train));
    tensors = tensor_bytes({folded.begin(), folded.end()});
    if (arch.residual == ResidualScheme::kAdmin) arch.residual = ResidualScheme::kPostLn;
    if (arch.decoder_residual == ResidualScheme::kAdmin) arch.decoder_residual = ResidualScheme::kPostLn;
    for (const auto& [name, scale] : loaded.model->embedding_scales())
      arch.embedding_scale = arch.embedding_scale || folded.count(name) > 0;
  } else {
    tensors = model_bytes(*loaded.model);
  }
  Exported result{loaded.step, tensors.size(), 0, loaded.warnings};
  for (const runs::TensorBytes& t : tensors)
    result.values += static_cast<std::int64_t>(t.data.size() / runs::tensor_type_size(t.type));
  runs::write_safetensors(
      file, std::move(tensors),
      {{"format", "pt"},
       {"evenkeel", kVersion},
       {"config_hash", loaded.manifest.config_hash},
       {"step", std::to_string(loaded.step)},
       {"folded", fold ? "true" : "false"},
       {"interventions", silent_treatments(loaded.manifest.experiment.interventions).dump()},
       {"arch", to_json(arch).dump()}});
  return result;
}

void require_same_function(const std::filesystem::path& file, const InterventionsSpec& own) {
  const auto metadata = runs::read_safetensors(file).metadata;
  const auto said = metadata.find("interventions");
  if (said == metadata.end()) return;
  const Json theirs = parse_json(said->second, file.string() + ", interventions"),
             ours = silent_treatments(own), defaults = to_json(InterventionsSpec{});
  if (!theirs.is_object())
    throw InputError(
        fmt::format("{} names its interventions as {}, expected an object", file.string(), said->second));
  for (const char* field : kSilentTreatments) {
    const Json none = field_of(defaults, field), there = theirs.value(field, none),
               here = ours.value(field, none);
    if (there == here) continue;
    std::string path = std::string("interventions.") + field;
    std::replace(path.begin(), path.end(), '/', '.');
    throw InputError(
        fmt::format("{} holds weights that were trained with {} = {}, which no tensor shows, and this model "
                    "has {}; add --set {}={}",
                    file.string(), path, there.dump(), here.dump(), path,
                    there.is_string() ? there.get<std::string>() : there.dump()));
  }
}

void import_weights(const std::filesystem::path& file, models::Model& model) {
  const c10::AutoGradMode no_grad(false);
  const runs::Safetensors given = runs::read_safetensors(file);
  std::set<std::string> left;
  for (const auto& [name, bytes] : given.tensors) left.insert(name);
  const auto scales = model.embedding_scales();
  for (const nn::Param* p : plain_parameters(model)) {
    const auto it = given.tensors.find(p->name);
    if (it == given.tensors.end() && scales.count(p->name) > 0) {
      p->value.fill_(1);
      continue;
    }
    if (it == given.tensors.end())
      throw InputError(fmt::format("{} lacks tensor {}, which this model has", file.string(), p->name));
    if (it->second.shape != p->value.sizes().vec()) {
      throw InputError(fmt::format("{} holds tensor {} of shape [{}], this model's is [{}]", file.string(),
                                   p->name, fmt::join(it->second.shape, ", "),
                                   fmt::join(p->value.sizes().vec(), ", ")));
    }
    p->value.copy_(tensor_of(it->second, file));
    left.erase(p->name);
  }
  if (!left.empty() && scales.count(*left.begin()) > 0) {
    throw InputError(
        fmt::format("{} holds {}, by which embedded tokens are multiplied, and this model has no "
                    "such tensor; add --set arch.embedding_scale=true",
                    file.string(), *left.begin()));
  }
  if (!left.empty()) {
    throw InputError(fmt::format(
        "{} holds {} tensors this model has no place for, {} the first; give this model the "
        "treatment that they belong to, or plain weights, as `evenkeel export --fold` writes them",
        file.string(), left.size(), *left.begin()));
  }
  for (nn::WeightTransform* transform : transforms_of(model)) transform->adopt();
  for (nn::Residual* sublayer : sublayers_with_omega(model)) sublayer->set_omega(1);
}

}  // namespace evenkeel::train
