#include "evenkeel/spec/experiment.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/kernels/isa.h"

namespace evenkeel {

template Json to_json(const Experiment&);
template std::vector<FieldDoc> describe<Experiment>();
namespace {

constexpr double kCoupledDecay = 0.1;  // lambda where none is given (arXiv 2309.14322 §3.2.2)

std::string origin_of(const Settings& settings, const std::string& path) {
  const auto it = settings.find(path);
  return it == settings.end() ? "default" : it->second.origin;
}

bool was_set(const Settings& settings, const std::string& path) {
  const auto it = settings.find(path);
  return it != settings.end() && it->second.value != "auto" && !it->second.value.is_null();
}

const Rung& find_rung(const ArchSpec& arch, const std::string& origin) {
  std::vector<std::string> names;
  for (const Rung& rung : ladder(arch.ladder)) {
    if (rung.name == *arch.size) return rung;
    names.push_back(rung.name);
  }
  throw InputError(fmt::format("[arch.size] must be a rung of ladder {} ({}), got \"{}\" ({})", arch.ladder,
                               fmt::join(names, ", "), *arch.size, origin));
}

// A shape given by hand gets a name of its own, so that two of them are two sizes to the analysis.
std::string own_size_name(const ArchSpec& a) {
  return fmt::format("d{}L{}h{}", *a.width, *a.depth, *a.heads);
}

void fill_shape(ArchSpec& a, const Settings& settings) {
  const auto names = ladder_names();
  if (std::find(names.begin(), names.end(), a.ladder) == names.end()) {
    throw InputError(fmt::format("[arch.ladder] must be one of {}, got \"{}\" ({})", fmt::join(names, ", "),
                                 a.ladder, origin_of(settings, "arch.ladder")));
  }
  const bool by_hand = a.width || a.depth || a.heads;
  if (!a.size && !by_hand) a.size = a.ladder == "mini" ? "d64" : ladder(a.ladder).front().name;
  if (a.size && !(a.width && a.depth && a.heads && *a.size == own_size_name(a))) {
    const Rung rung = find_rung(a, origin_of(settings, "arch.size"));
    const auto take = [&](const char* name, std::optional<std::int64_t>& field, std::int64_t value) {
      if (field && *field != value) {
        throw InputError(fmt::format(
            "[arch.{}] = {} ({}) contradicts [arch.size] = \"{}\" ({}), whose {} is {}; give one of the two",
            name, *field, origin_of(settings, std::string("arch.") + name), rung.name,
            origin_of(settings, "arch.size"), name, value));
      }
      field = value;
    };
    take("width", a.width, rung.width);
    take("depth", a.depth, rung.depth);
    take("heads", a.heads, rung.heads);
  } else {
    for (const auto& [name, field] :
         {std::pair{"width", &a.width}, std::pair{"depth", &a.depth}, std::pair{"heads", &a.heads}}) {
      if (!*field) {
        throw InputError(
            fmt::format("[arch.{}] is missing: a shape given by hand needs arch.width, arch.depth and "
                        "arch.heads (or give arch.size)",
                        name));
      }
    }
    a.size = own_size_name(a);
  }
  if (!a.ffn_width) a.ffn_width = 4 * *a.width;
  if (*a.width % *a.heads != 0 || (*a.width / *a.heads) % 2 != 0) {
    throw InputError(fmt::format(
        "[arch.heads] = {} ({}) must divide [arch.width] = {} ({}) into heads of even width, for rotary "
        "positions",
        *a.heads, origin_of(settings, "arch.heads"), *a.width, origin_of(settings, "arch.width")));
  }
}

// What a family has where the experiment does not say.
void fill_family(Experiment& e, const Settings& settings) {
  ArchSpec& a = e.arch;
  const auto is_given = [&](const char* path) { return settings.contains(path); };
  if (a.family != Family::kSeq2Seq) {
    for (const auto& [name, given] : {std::pair{"decoder_depth", a.decoder_depth.has_value()},
                                      std::pair{"decoder_residual", a.decoder_residual.has_value()},
                                      std::pair{"embedding_scale", a.embedding_scale},
                                      std::pair{"attention_dropout", a.attention_dropout > 0},
                                      std::pair{"activation_dropout", a.activation_dropout > 0}}) {
      if (!given) continue;
      throw InputError(
          fmt::format("[arch.{}] ({}) belongs to seq2seq, but [arch.family] = \"{}\" ({}); leave one out",
                      name, origin_of(settings, std::string("arch.") + name), enum_name(a.family),
                      origin_of(settings, "arch.family")));
    }
    return;
  }
  if (!is_given("arch.residual")) a.residual = ResidualScheme::kPostLn;
  if (!a.decoder_residual) a.decoder_residual = a.residual;
  if (!is_given("arch.activation")) a.activation = ActivationKind::kRelu;
  if (!is_given("arch.bias")) a.bias = true;
  if (!is_given("arch.init")) a.init = MatrixInit::kXavier;
  if (!is_given("arch.norm_eps")) a.norm_eps = 1e-5;
  if (!is_given("interventions.z_loss")) e.interventions.z_loss = 0;
  if (!e.data.kind && !e.data.path) e.data.kind = DataKind::kSyntheticPairs;
}

void check_pairs(const Experiment& e, const Settings& settings) {
  if (e.arch.family != Family::kSeq2Seq) return;
  if (e.arch.L() < 1)
    throw InputError(fmt::format("[arch.depth] must be at least 1 for seq2seq, got {} ({})", e.arch.L(),
                                 origin_of(settings, "arch.depth")));
  if (e.data.batch_tokens < e.arch.context) {
    throw InputError(
        fmt::format("[data.batch_tokens] = {} ({}) must be at least [arch.context] = {} ({}), or the longest "
                    "sentence fits no "
                    "batch",
                    e.data.batch_tokens, origin_of(settings, "data.batch_tokens"), e.arch.context,
                    origin_of(settings, "arch.context")));
  }
  if (e.arch.D() < 4) throw InputError("[arch.width] must be at least 4 for sinusoidal positions, got 2");
}

// What no machine holds or ends. Counts below these stay whole numbers of 64 bits in all that is computed
// from them.
constexpr double kMostParams = 1e12, kMostTokens = 1e15, kMostBytes = 1e15;

// Bytes of the activations that a step keeps for its backward pass: a lower bound.
double activation_bytes(const Experiment& e, double tokens_per_step) {
  const auto width = static_cast<double>(e.arch.D() + e.arch.F());
  const bool pairs = e.arch.family == Family::kSeq2Seq;
  const auto layers = static_cast<double>(e.arch.L() + (pairs ? e.arch.decoder_layers() : 0));
  // The plain path keeps the attention weights too, [B, H, T, T].
  const double weights = e.train.ops == OpPath::kPlain
                             ? static_cast<double>(e.arch.H()) * static_cast<double>(e.arch.context)
                             : 0.0;
  return 4 * tokens_per_step * std::max(layers, 1.0) * (width + weights);
}

void check_extent(const Experiment& e, const Settings& settings) {
  const ArchSpec& a = e.arch;
  const bool pairs = a.family == Family::kSeq2Seq;
  const auto given = [&](const char* path, std::int64_t value) {
    return fmt::format("[{}] = {} ({})", path, value, origin_of(settings, path));
  };
  const std::string shape = fmt::format("{}, {} and {}", given("arch.width", a.D()),
                                        given("arch.depth", a.L()), given("arch.ffn_width", a.F()));
  const std::string batch =
      pairs ? given("data.batch_tokens", e.data.batch_tokens)
            : fmt::format("{} and {}", given("train.batch", e.train.batch), given("arch.context", a.context));
  if (const auto params = static_cast<double>(a.params()); params > kMostParams) {
    throw InputError(
        fmt::format("{} make a model of {:.2g} weights, more than {:g}, which no machine trains; "
                    "choose a smaller shape",
                    shape, params, kMostParams));
  }
  const double per_step = pairs ? static_cast<double>(e.data.batch_tokens)
                                : static_cast<double>(e.train.batch) * static_cast<double>(a.context);
  if (const double tokens = per_step * static_cast<double>(e.train.steps); tokens > kMostTokens) {
    throw InputError(fmt::format("{} and {} make {:.2g} training tokens, more than {:g}; choose fewer", batch,
                                 given("train.steps", e.train.steps), tokens, kMostTokens));
  }
  if (const double bytes = activation_bytes(e, per_step); bytes > kMostBytes) {
    throw InputError(
        fmt::format("{} with {} need {:.2g} bytes of memory for the activations of a step, more "
                    "than {:g}; choose smaller ones",
                    batch, shape, bytes, kMostBytes));
  }
}

void check_change(const Experiment& e, const Settings& settings) {
  const ChangeSpec& c = e.change;
  const auto origin = [&](const char* field) { return origin_of(settings, std::string("change.") + field); };
  const std::int64_t steps = e.train.steps, tokens = e.tokens_per_step(), at = c.at.steps(steps, tokens);
  // "100%" written out is one end of an axis of change.at: never. Left out it is a forgotten setting.
  const bool never = at == steps && was_set(settings, "change.at");
  if (c.any() && at >= steps && !never) {
    throw InputError(
        fmt::format("[change.at] = {} ({}) must come before the end, [train.steps] = {} ({}): the "
                    "settings of [change] hold after so many updates",
                    c.at.text(), origin("at"), steps, origin_of(settings, "train.steps")));
  }
  if (!c.any() && at < steps) {
    throw InputError(
        fmt::format("[change.at] = {} ({}) changes nothing; give change.attention_temperature, "
                    "lr_factor, eps_factor or end_warmup",
                    c.at.text(), origin("at")));
  }
  const OptimiserKind algorithm = e.optim.algorithm;
  if (c.eps_factor != 1 && !traits(algorithm).has_eps) {
    throw InputError(fmt::format(
        "[change.eps_factor] = {} ({}) changes nothing: [optim.algorithm] = \"{}\" ({}) has no epsilon; "
        "leave "
        "one out",
        c.eps_factor, origin("eps_factor"), enum_name(algorithm), origin_of(settings, "optim.algorithm")));
  }
  if (c.any() && !never && c.until.steps(steps, tokens) <= at) {
    throw InputError(fmt::format("[change.until] = {} ({}) must come after [change.at] = {} ({})",
                                 c.until.text(), origin("until"), c.at.text(), origin("at")));
  }
}

}  // namespace

Experiment experiment_from(const Settings& settings) {
  Experiment e;
  bind(e, settings);
  fill_family(e, settings);
  fill_shape(e.arch, settings);
  if (e.arch.family == Family::kSeq2Seq && !e.arch.decoder_depth) e.arch.decoder_depth = e.arch.depth;
  check_extent(e, settings);
  check_pairs(e, settings);
  const DataSpec& d = e.data;
  const bool built_in = d.kind == DataKind::kSynthetic || d.kind == DataKind::kSyntheticPairs;
  if (built_in && d.path) {
    throw InputError(fmt::format(
        "[data.path] = \"{}\" ({}) contradicts [data.kind] = \"{}\" ({}), which reads no file; leave one out",
        *d.path, origin_of(settings, "data.path"), enum_name(*d.kind), origin_of(settings, "data.kind")));
  }
  if (d.kind && !built_in && !d.path) {
    throw InputError(fmt::format(
        "[data.path] is missing: [data.kind] = \"{}\" ({}) reads a file; add --set data.path=FILE",
        enum_name(*d.kind), origin_of(settings, "data.kind")));
  }
  if (!d.path && d.valid_path) {
    throw InputError(fmt::format("[data.valid_path] = \"{}\" ({}) needs [data.path] too", *d.valid_path,
                                 origin_of(settings, "data.valid_path")));
  }
  const std::int64_t tokens = e.tokens_per_step();
  if (was_set(settings, "optim.warmup") && e.optim.warmup->steps(e.train.steps, tokens) > e.train.steps) {
    throw InputError(fmt::format("[optim.warmup] = {} ({}) is longer than [train.steps] = {} ({})",
                                 e.optim.warmup->text(), origin_of(settings, "optim.warmup"), e.train.steps,
                                 origin_of(settings, "train.steps")));
  }
  const OptimiserKind algorithm = e.optim.algorithm;
  if (e.optim.decay_form && !traits(algorithm).has_decay_form) {
    throw InputError(fmt::format(
        "[optim.decay_form] = \"{}\" ({}) belongs to adamw and muon, but [optim.algorithm] = \"{}\" ({}) "
        "has one form of decay only; leave one out",
        enum_name(*e.optim.decay_form), origin_of(settings, "optim.decay_form"), enum_name(e.optim.algorithm),
        origin_of(settings, "optim.algorithm")));
  }
  if (traits(algorithm).on_sphere && e.optim.weight_decay.value_or(0) != 0) {
    throw InputError(
        fmt::format("[optim.weight_decay] = {} ({}) contradicts [optim.algorithm] = \"{}\" ({}), whose "
                    "matrices keep their norm; leave it out",
                    *e.optim.weight_decay, origin_of(settings, "optim.weight_decay"), enum_name(algorithm),
                    origin_of(settings, "optim.algorithm")));
  }
  const double coupled = e.optim.weight_decay.value_or(kCoupledDecay);
  if (e.optim.decay_form == DecayForm::kCoupled &&
      coupled * e.optim.lr * std::max(1.0, e.optim.rest_lr_factor) >= 1) {
    throw InputError(fmt::format(
        "[optim.weight_decay] = {} ({}) times [optim.lr] = {} ({}) must be < 1 with coupled "
        "decay, or weights change sign every step",
        coupled, origin_of(settings, "optim.weight_decay"), e.optim.lr, origin_of(settings, "optim.lr")));
  }
  if (e.interventions.weight_norm && e.interventions.sigma_reparam != SigmaReparam::kOff) {
    throw InputError(fmt::format(
        "[interventions.weight_norm] = true ({}) contradicts [interventions.sigma_reparam] = \"{}\" ({}): "
        "both "
        "replace the same weights; leave one out",
        origin_of(settings, "interventions.weight_norm"), enum_name(e.interventions.sigma_reparam),
        origin_of(settings, "interventions.sigma_reparam")));
  }
  if (e.interventions.rms_scaled_lr && traits(algorithm).relative) {
    throw InputError(
        fmt::format("[interventions.rms_scaled_lr] = true ({}) contradicts [optim.algorithm] = \"{}\" ({}), "
                    "whose steps are in proportion to the "
                    "tensors already; leave one out",
                    origin_of(settings, "interventions.rms_scaled_lr"), enum_name(algorithm),
                    origin_of(settings, "optim.algorithm")));
  }
  if (e.interventions.mu_param != MuParam::kOff && e.interventions.mu.decay_with_rate &&
      !traits(algorithm).decays_apart) {
    throw InputError(
        fmt::format("[interventions.mu.decay_with_rate] = true ({}) changes nothing of [optim.algorithm] = "
                    "\"{}\" ({}), whose decay is part of the "
                    "step and follows the rate; leave it out",
                    origin_of(settings, "interventions.mu.decay_with_rate"), enum_name(algorithm),
                    origin_of(settings, "optim.algorithm")));
  }
  const InterventionsSpec& on = e.interventions;
  const auto given = [&](const char* path, std::string_view value) {
    return fmt::format("[{}] = {} ({})", path, value, origin_of(settings, path));
  };
  const auto quoted = [](std::string_view value) { return fmt::format("\"{}\"", value); };
  const std::string by = given("optim.algorithm", quoted(enum_name(algorithm)));
  if (on.mu_param != MuParam::kOff && traits(algorithm).on_sphere) {
    throw InputError(
        fmt::format("{} contradicts {}, whose steps are in proportion to the matrices at any width; leave "
                    "one out",
                    given("interventions.mu_param", quoted(enum_name(on.mu_param))), by));
  }
  if (on.mu_param == MuParam::kCompleteP && !traits(algorithm).decays_apart &&
      e.optim.weight_decay.value_or(0) > 0) {
    throw InputError(
        fmt::format("{} contradicts {} with {}, whose decay is part of the step, so that it would follow "
                    "width and depth; leave one out",
                    given("interventions.mu_param", quoted("complete_p")),
                    given("optim.weight_decay", fmt::format("{}", *e.optim.weight_decay)), by));
  }
  const bool decays = e.optim.weight_decay.value_or(traits(algorithm).has_decay_form ? 1 : 0) > 0;
  if (!on.no_decay.empty() && !decays) {
    throw InputError(
        fmt::format("{} changes nothing: without [optim.weight_decay] {} decays nothing; leave it out",
                    given("interventions.no_decay", quoted(on.no_decay)), by));
  }
  if (e.optim.rest_lr_factor != 1 && !traits(algorithm).has_rest) {
    throw InputError(fmt::format("{} changes nothing: {} has one rule for all parameters; leave it out",
                                 given("optim.rest_lr_factor", fmt::format("{}", e.optim.rest_lr_factor)),
                                 by));
  }
  if (e.interventions.embedding == EmbeddingForm::kScale && e.arch.family == Family::kSeq2Seq) {
    throw InputError(fmt::format(
        "[interventions.embedding] = \"scale\" ({}) is what [arch.family] = \"seq2seq\" ({}) does "
        "anyway; leave it out",
        origin_of(settings, "interventions.embedding"), origin_of(settings, "arch.family")));
  }
  if (e.interventions.mu_param == MuParam::kCompleteP) {
    const std::string own = fmt::format("[interventions.mu_param] = \"complete_p\" ({})",
                                        origin_of(settings, "interventions.mu_param"));
    if (e.interventions.attention_scale != AttentionScale::kRootWidth)
      throw InputError(
          fmt::format("{} contradicts [interventions.attention_scale] = \"{}\" ({}): it sets the same scale "
                      "itself; leave "
                      "one out",
                      own, enum_name(e.interventions.attention_scale),
                      origin_of(settings, "interventions.attention_scale")));
    if (e.interventions.mu.decay_with_rate)
      throw InputError(fmt::format(
          "{} contradicts [interventions.mu.decay_with_rate] = true ({}): its decay has a rule of its own; "
          "leave one out",
          own, origin_of(settings, "interventions.mu.decay_with_rate")));
    if (e.arch.L() < 1)
      throw InputError(
          fmt::format("{} needs blocks, but [arch.depth] = 0 ({})", own, origin_of(settings, "arch.depth")));
    if (e.arch.family == Family::kSeq2Seq && e.arch.decoder_layers() != e.arch.L())
      throw InputError(
          fmt::format("{} knows one depth, but [arch.decoder_depth] = {} ({}) is not [arch.depth] = {} ({})",
                      own, e.arch.decoder_layers(), origin_of(settings, "arch.decoder_depth"), e.arch.L(),
                      origin_of(settings, "arch.depth")));
  }
  if (e.interventions.mu_param == MuParam::kFull) {
    const auto refuse = [&](const char* other, std::string_view value, const char* why) {
      throw InputError(
          fmt::format("[interventions.mu_param] = \"full\" ({}) contradicts [interventions.{}] = \"{}\" "
                      "({}): {}; leave one out",
                      origin_of(settings, "interventions.mu_param"), other, value,
                      origin_of(settings, std::string("interventions.") + other), why));
    };
    if (e.interventions.attention_scale != AttentionScale::kRootWidth)
      refuse("attention_scale", enum_name(e.interventions.attention_scale), "it sets the same scale itself");
    if (e.interventions.sigma_reparam != SigmaReparam::kOff)
      refuse("sigma_reparam", enum_name(e.interventions.sigma_reparam),
             "queries from zero have no singular value to divide by");
    if (e.interventions.kappa > 0)
      refuse("kappa", fmt::format("{}", e.interventions.kappa), "queries from zero have no direction");
    if (e.interventions.weight_norm)
      refuse("weight_norm", "true", "queries from zero have no norm to divide by");
    if (e.interventions.attention_function == AttentionFunction::kSquaredRelu)
      refuse("attention_function", "squared_relu",
             "queries from zero have logits of 0, where it has no slope");
  }
  if (e.interventions.attention_sink != AttentionSink::kOff &&
      e.interventions.attention_function != AttentionFunction::kSoftmax) {
    throw InputError(fmt::format(
        "[interventions.attention_sink] = \"{}\" ({}) contradicts [interventions.attention_function] = \"{}\""
        " ({}), whose weights do not depend on other logits; leave one out",
        enum_name(e.interventions.attention_sink), origin_of(settings, "interventions.attention_sink"),
        enum_name(e.interventions.attention_function),
        origin_of(settings, "interventions.attention_function")));
  }
  if (e.interventions.qk_clip > 0) {
    const auto refuse = [&](const char* other, std::string_view value) {
      throw InputError(
          fmt::format("[interventions.qk_clip] = {} ({}) contradicts [interventions.{}] = \"{}\" ({}), which "
                      "undoes what is done to the size of the "
                      "query and key matrices; leave one out",
                      e.interventions.qk_clip, origin_of(settings, "interventions.qk_clip"), other, value,
                      origin_of(settings, std::string("interventions.") + other)));
    };
    if (e.interventions.qk_norm != QkNorm::kOff) refuse("qk_norm", enum_name(e.interventions.qk_norm));
    if (e.interventions.attention_softcap > 0) {
      throw InputError(fmt::format(
          "[interventions.qk_clip] = {} ({}) contradicts [interventions.attention_softcap] = {} ({}): both "
          "bound the same "
          "logits, and a clip would go by capped ones; leave one out",
          e.interventions.qk_clip, origin_of(settings, "interventions.qk_clip"),
          e.interventions.attention_softcap, origin_of(settings, "interventions.attention_softcap")));
    }
    if (e.interventions.kappa > 0) refuse("kappa", fmt::format("{}", e.interventions.kappa));
    if (e.interventions.sigma_reparam == SigmaReparam::kOn ||
        e.interventions.sigma_reparam == SigmaReparam::kSpectralNorm)
      refuse("sigma_reparam", enum_name(e.interventions.sigma_reparam));
    if (e.interventions.weight_norm) refuse("weight_norm", "true");
    if (traits(algorithm).on_sphere) {
      throw InputError(fmt::format(
          "[interventions.qk_clip] = {} ({}) contradicts [optim.algorithm] = \"{}\" ({}), which gives the "
          "query and key matrices their norm back; leave one out",
          e.interventions.qk_clip, origin_of(settings, "interventions.qk_clip"), enum_name(algorithm),
          origin_of(settings, "optim.algorithm")));
    }
  }
  if (e.interventions.kappa > 0 && e.interventions.qk_norm != QkNorm::kOff) {
    throw InputError(
        fmt::format("[interventions.kappa] = {} ({}) contradicts [interventions.qk_norm] = \"{}\" ({}): both "
                    "decide how long queries and keys "
                    "are; leave one out",
                    e.interventions.kappa, origin_of(settings, "interventions.kappa"),
                    enum_name(e.interventions.qk_norm), origin_of(settings, "interventions.qk_norm")));
  }
  check_change(e, settings);
  if (e.train.device == Device::kCuda) {
    throw InputError(
        fmt::format("[train.device] = \"cuda\" ({}) is not in this version of evenkeel, which trains on "
                    "CPUs; use --device cpu",
                    origin_of(settings, "train.device")));
  }
  return e;
}

void resolve(Experiment& e, const DataFacts& data, bool machine_has_fast_bf16) {
  e.data.kind = data.kind;
  if (is_pairs(data.kind) != (e.arch.family == Family::kSeq2Seq)) {
    throw InputError(
        fmt::format("[data.kind] = \"{}\" is {}, but [arch.family] = \"{}\" reads {}; change one of the two",
                    enum_name(data.kind), is_pairs(data.kind) ? "sentence pairs" : "one text",
                    enum_name(e.arch.family), is_pairs(data.kind) ? "one text" : "sentence pairs"));
  }
  if (e.data.vocab && *e.data.vocab < data.vocab) {
    throw InputError(
        fmt::format("[data.vocab] must be >= {}, which the data needs, got {}", data.vocab, *e.data.vocab));
  }
  if (!e.data.vocab) e.data.vocab = data.vocab;
  if (e.data.fingerprint && *e.data.fingerprint != data.fingerprint) {
    throw InputError(fmt::format(
        "the data{} are not what this experiment was made with: fingerprint {}, expected {}; restore the "
        "file, or start a new "
        "run in another --out",
        e.data.path ? " in " + *e.data.path : std::string(), data.fingerprint, *e.data.fingerprint));
  }
  e.data.fingerprint = data.fingerprint;
  const std::int64_t tokens = e.tokens_per_step();
  const bool has_form = traits(e.optim.algorithm).has_decay_form;
  if (has_form && !e.optim.decay_form) e.optim.decay_form = DecayForm::kIndependent;
  if (!e.optim.weight_decay) {
    e.optim.weight_decay = !has_form ? 0
                           : e.optim.decay_form == DecayForm::kCoupled
                               ? kCoupledDecay
                               : 10.0 / static_cast<double>(e.train.steps);
  }
  if (!e.optim.warmup) {
    const auto five_percent = Duration{5, Duration::Unit::kPercent}.steps(e.train.steps, tokens);
    const auto steps = std::min(std::max<std::int64_t>(five_percent, 40), e.train.steps);
    e.optim.warmup = Duration{static_cast<double>(steps), Duration::Unit::kStep};
  }
  if (!e.train.eval_every) e.train.eval_every = Duration{25, Duration::Unit::kPercent};
  if (!e.train.checkpoint_every) e.train.checkpoint_every = Duration{25, Duration::Unit::kPercent};
  if (e.train.precision == Precision::kBf16) require_bf16(machine_has_fast_bf16);
  if (e.train.precision == Precision::kAuto) {
    e.train.precision = machine_has_fast_bf16 ? Precision::kBf16 : Precision::kFp32;
  }
}

std::vector<std::string> cautions(const Experiment& e) {
  std::vector<std::string> sentences;
  const MuParam mu = e.interventions.mu_param;
  if (mu != MuParam::kOff && e.optim.algorithm == OptimiserKind::kMuon &&
      e.optim.muon.scale != MuonScale::kMatchRmsAdamW) {
    sentences.push_back(
        fmt::format("[interventions.mu_param] = \"{}\" lowers the rate of wide matrices, and so does "
                    "[optim.muon.scale] = \"{}\"",
                    enum_name(mu), enum_name(e.optim.muon.scale)));
  }
  const bool plain_depth = e.arch.residual == ResidualScheme::kPreLn ||
                           e.arch.residual == ResidualScheme::kPostLn ||
                           e.arch.residual == ResidualScheme::kNone;
  if (mu == MuParam::kCompleteP && !plain_depth) {
    sentences.push_back(
        fmt::format("[interventions.mu_param] = \"complete_p\" weighs branches by depth, and so may "
                    "[arch.residual] = \"{}\"",
                    enum_name(e.arch.residual)));
  }
  if (e.interventions.mu_param == MuParam::kFull && e.interventions.qk_norm != QkNorm::kOff &&
      e.optim.clip_norm > 0) {
    sentences.push_back(fmt::format(
        "[interventions.mu_param] = \"full\" begins with queries of zero, where [interventions."
        "qk_norm] multiplies gradients by 1 / sqrt(arch.norm_eps) = {:.3g}: the first gradients of "
        "the query matrices may use up [optim.clip_norm] = {}",
        1 / std::sqrt(e.arch.norm_eps), e.optim.clip_norm));
  }
  return sentences;
}

Changes changes_of(const Experiment& e) {
  const std::int64_t tokens = e.tokens_per_step();
  const std::int64_t at = e.change.at.steps(e.train.steps, tokens);
  if (!e.change.any() || at >= e.train.steps) return {};
  return {e.change, at + 1, std::min(e.change.until.steps(e.train.steps, tokens), e.train.steps)};
}

void require_bf16(bool machine_has_fast_bf16) {
  if (machine_has_fast_bf16) return;
  throw InputError(
      "[train.precision] = \"bf16\" needs a processor with AVX512-BF16 or AMX, and this one has neither or "
      "EVENKEEL_ISA forbids it; use --precision fp32");
}

bool machine_has_fast_bf16() {
  return kernels::isa() >= kernels::Isa::kAvx512Bf16;
}

std::string config_hash(const Experiment& resolved) {
  Json identity = to_json(resolved);
  keep_identity<Experiment>(identity);
  return content_hash(identity.dump()).substr(0, 16);
}

bool is_config_hash(std::string_view text) {
  return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Experiment experiment_from_json(const Json& document, const std::string& origin) {
  return experiment_from(settings_from_json(document, origin));
}

}  // namespace evenkeel
