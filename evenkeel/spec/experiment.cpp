#include "evenkeel/spec/experiment.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "evenkeel/base/error.h"
#include "evenkeel/base/hash.h"
#include "evenkeel/kernels/isa.h"
#include "evenkeel/spec/contradictions.h"
#include "evenkeel/spec/family.h"

namespace evenkeel {

template Json to_json(const Experiment&);
template std::vector<FieldDoc> describe<Experiment>();
namespace {

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

void fill_shape(ArchSpec& a, const Given& given) {
  const auto names = ladder_names();
  if (std::find(names.begin(), names.end(), a.ladder) == names.end()) {
    throw InputError(fmt::format("[arch.ladder] must be one of {}, got \"{}\" ({})", fmt::join(names, ", "),
                                 a.ladder, given.origin("arch.ladder")));
  }
  const bool by_hand = a.width || a.depth || a.heads;
  if (!a.size && !by_hand) a.size = a.ladder == "mini" ? "d64" : ladder(a.ladder).front().name;
  if (a.size && !(a.width && a.depth && a.heads && *a.size == own_size_name(a))) {
    const Rung rung = find_rung(a, given.origin("arch.size"));
    const auto take = [&](const char* name, std::optional<std::int64_t>& field, std::int64_t value) {
      if (field && *field != value) {
        throw InputError(fmt::format(
            "[arch.{}] = {} ({}) contradicts [arch.size] = \"{}\" ({}), whose {} is {}; give one of the two",
            name, *field, given.origin(std::string("arch.") + name), rung.name, given.origin("arch.size"),
            name, value));
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
        *a.heads, given.origin("arch.heads"), *a.width, given.origin("arch.width")));
  }
}

// What no machine holds or ends. Counts below these stay whole numbers of 64 bits in all that is computed
// from them.
constexpr double kMostParams = 1e12, kMostTokens = 1e15, kMostBytes = 1e15;

// Bytes of the activations that a step keeps for its backward pass: a lower bound.
double activation_bytes(const Experiment& e) {
  const auto width = static_cast<double>(e.arch.D() + e.arch.F());
  const auto layers = static_cast<double>(family_row(e.arch.family).layers(e.arch));
  // The plain path keeps the attention weights too, [B, H, T, T].
  const double weights = e.train.ops == OpPath::kPlain
                             ? static_cast<double>(e.arch.H()) * static_cast<double>(e.arch.context)
                             : 0.0;
  return 4 * static_cast<double>(e.tokens_per_step()) * std::max(layers, 1.0) * (width + weights);
}

void check_extent(const Experiment& e, const Given& given) {
  const ArchSpec& a = e.arch;
  const std::string shape = fmt::format("{}, {} and {}", given.text("arch.width", a.D()),
                                        given.text("arch.depth", a.L()), given.text("arch.ffn_width", a.F()));
  std::vector<std::string> parts;
  for (const std::string_view path : family_row(a.family).batch_fields)
    parts.push_back(given.text(e, std::string(path)));
  const std::string batch = fmt::format("{}", fmt::join(parts, " and "));
  if (const auto params = static_cast<double>(a.params()); params > kMostParams) {
    throw InputError(
        fmt::format("{} make a model of {:.2g} weights, more than {:g}, which no machine trains; "
                    "choose a smaller shape",
                    shape, params, kMostParams));
  }
  const auto per_step = static_cast<double>(e.tokens_per_step());
  if (const double tokens = per_step * static_cast<double>(e.train.steps); tokens > kMostTokens) {
    throw InputError(fmt::format("{} and {} make {:.2g} training tokens, more than {:g}; choose fewer", batch,
                                 given.text("train.steps", e.train.steps), tokens, kMostTokens));
  }
  if (const double bytes = activation_bytes(e); bytes > kMostBytes) {
    throw InputError(
        fmt::format("{} with {} need {:.2g} bytes of memory for the activations of a step, more "
                    "than {:g}; choose smaller ones",
                    batch, shape, bytes, kMostBytes));
  }
}

void check_change(const Experiment& e, const Given& given) {
  const ChangeSpec& c = e.change;
  const auto origin = [&](const char* field) { return given.origin(std::string("change.") + field); };
  const std::int64_t steps = e.train.steps, tokens = e.tokens_per_step(), at = c.at.steps(steps, tokens);
  // "100%" written out is one end of an axis of change.at: never. Left out it is a forgotten setting.
  const bool never = at == steps && given.decides("change.at");
  if (c.any() && at >= steps && !never) {
    throw InputError(
        fmt::format("[change.at] = {} ({}) must come before the end, [train.steps] = {} ({}): the "
                    "settings of [change] hold after so many updates",
                    c.at.text(), origin("at"), steps, given.origin("train.steps")));
  }
  if (!c.any() && at < steps) {
    throw InputError(
        fmt::format("[change.at] = {} ({}) changes nothing; give change.attention_temperature, "
                    "lr_factor, eps_factor or end_warmup",
                    c.at.text(), origin("at")));
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
  const Given given(settings);
  const FamilyRow& family = family_row(e.arch.family);
  refuse_fields_of_others(e, given);
  family.fill(e, given);
  if (!e.data.kind && !e.data.path) e.data.kind = family.built_in;
  fill_shape(e.arch, given);
  check_extent(e, given);
  family.complete(e, given);
  const DataSpec& d = e.data;
  const bool built_in = d.kind && is_built_in(*d.kind);
  if (built_in && d.path) {
    throw InputError(fmt::format(
        "[data.path] = \"{}\" ({}) contradicts [data.kind] = \"{}\" ({}), which reads no file; leave one out",
        *d.path, given.origin("data.path"), enum_name(*d.kind), given.origin("data.kind")));
  }
  if (d.kind && !built_in && !d.path) {
    throw InputError(fmt::format(
        "[data.path] is missing: [data.kind] = \"{}\" ({}) reads a file; add --set data.path=FILE",
        enum_name(*d.kind), given.origin("data.kind")));
  }
  if (!d.path && d.valid_path) {
    throw InputError(fmt::format("[data.valid_path] = \"{}\" ({}) needs [data.path] too", *d.valid_path,
                                 given.origin("data.valid_path")));
  }
  const std::int64_t tokens = e.tokens_per_step();
  if (given.decides("optim.warmup") && e.optim.warmup->steps(e.train.steps, tokens) > e.train.steps) {
    throw InputError(fmt::format("[optim.warmup] = {} ({}) is longer than [train.steps] = {} ({})",
                                 e.optim.warmup->text(), given.origin("optim.warmup"), e.train.steps,
                                 given.origin("train.steps")));
  }
  refuse_contradictions(e, given);
  check_change(e, given);
  if (e.train.device == Device::kCuda) {
    throw InputError(
        fmt::format("[train.device] = \"cuda\" ({}) is not in this version of evenkeel, which trains on "
                    "CPUs; use --device cpu",
                    given.origin("train.device")));
  }
  return e;
}

void resolve(Experiment& e, const DataFacts& data, bool machine_has_fast_bf16) {
  e.data.kind = data.kind;
  if (const DataForm reads = family_row(e.arch.family).reads; form_of(data.kind) != reads) {
    throw InputError(fmt::format(
        "[data.kind] = \"{}\" is {}, but [arch.family] = \"{}\" reads {}; change one of the two",
        enum_name(data.kind), enum_name(form_of(data.kind)), enum_name(e.arch.family), enum_name(reads)));
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
