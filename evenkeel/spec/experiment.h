// One experiment: everything that decides a run. Resolved, it has no "auto" left, and its hash names the
// cell.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evenkeel/config/bind.h"
#include "evenkeel/spec/arch.h"
#include "evenkeel/spec/change.h"
#include "evenkeel/spec/data.h"
#include "evenkeel/spec/interventions.h"
#include "evenkeel/spec/optim.h"
#include "evenkeel/spec/train.h"

namespace evenkeel {

struct Experiment {
  ArchSpec arch;
  InterventionsSpec interventions;
  DataSpec data;
  OptimSpec optim;
  TrainSpec train;
  ChangeSpec change;
  TelemetrySpec telemetry;

  /// Of sentence pairs the most that a batch may hold on either side, padding included.
  std::int64_t tokens_per_step() const;

  static void fields(auto& self, auto&& visit) {
    visit("arch", self.arch);
    visit("interventions", self.interventions);
    visit("data", self.data);
    visit("optim", self.optim);
    visit("train", self.train);
    visit("change", self.change);
    visit("telemetry", self.telemetry);
  }
};

/// What the data turned out to be; the caller opens the data once and passes this in.
struct DataFacts {
  DataKind kind = DataKind::kSynthetic;
  std::int64_t vocab = 0;
  std::string fingerprint;
};

/// Binds settings and checks contradictions between fields (size against width, heads against width, warm-up
/// against steps, a path with kind synthetic, ...), naming the origin of each side. Does not touch data or
/// machine.
Experiment experiment_from(const Settings& settings);

/// Replaces every "auto": shape from the ladder, decay, warm-up, data kind, vocabulary and fingerprint, and
/// precision (bf16 only when `machine_has_fast_bf16`). Idempotent.
void resolve(Experiment& experiment, const DataFacts& data, bool machine_has_fast_bf16);

// Compiled once, in experiment.cpp: they go through every field.
extern template Json to_json(const Experiment&);
extern template std::vector<FieldDoc> describe<Experiment>();

/// Sentences about settings of `resolved` that are allowed and may surprise.
std::vector<std::string> cautions(const Experiment& resolved);

/// What [change] makes of each update: the one place that knows when it holds.
struct Changes {
  ChangeSpec settings;
  std::int64_t first = 1, last = 0;  ///< the updates (1 ... train.steps) it holds for; none when first > last
  bool any() const { return first <= last; }
  /// The settings in effect in update number n.
  ChangeSpec at(std::int64_t n) const { return n >= first && n <= last ? settings : ChangeSpec{}; }
};
Changes changes_of(const Experiment& resolved);

/// True where the kernels multiply bf16 matrices by AVX512-BF16 or AMX, unless EVENKEEL_ISA forbids it.
bool machine_has_fast_bf16();

/// Throws InputError saying to use fp32 unless `machine_has_fast_bf16`: a run made elsewhere may ask for
/// bf16.
void require_bf16(bool machine_has_fast_bf16);

/// 16 hexadecimal digits over the resolved identity fields (paths do not count, the data fingerprint does).
std::string config_hash(const Experiment& resolved);

/// Whether `text` is such a hash: what a file says may become the name of a folder.
bool is_config_hash(std::string_view text);

/// Reads a resolved experiment back from a manifest.
Experiment experiment_from_json(const Json& document, const std::string& origin);

}  // namespace evenkeel
