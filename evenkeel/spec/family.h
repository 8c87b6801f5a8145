// What sets one family of models apart before any tensor is made: one row each, in spec/families. The rest of
// the program asks the row and never which family it is; what computes is a row of models/registry.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "evenkeel/spec/experiment.h"
#include "evenkeel/spec/given.h"

namespace evenkeel {

struct FamilyRow {
  Family family;
  DataForm reads;
  DataKind built_in;  ///< what it trains on where no data are named
  /// Fields and sections that only some families have, such as "arch.decoder_depth": those of this one.
  std::span<const std::string_view> own_fields;
  /// The fields that decide how many tokens a step has.
  std::span<const std::string_view> batch_fields;
  bool ties_head;         ///< whether the output has the embedding's matrix where arch.head does not say
  bool head_bias;         ///< whether an output matrix of its own has a bias where arch.bias asks for them
  bool scales_embedding;  ///< by sqrt(D), always
  /// What it has where nothing is given; the shape is not known yet.
  void (*fill)(Experiment&, const Given&);
  /// What follows from the shape. Throws InputError for what it cannot be.
  void (*complete)(Experiment&, const Given&);
  /// Layers of all stacks.
  std::int64_t (*layers)(const ArchSpec&);
  /// N, the weights of the matrices of all layers; embedding and head excluded.
  std::int64_t (*params)(const ArchSpec&);
  /// Of a step; where batches differ, the most.
  std::int64_t (*tokens_per_step)(const Experiment&);
};

const FamilyRow& family_row(Family family);
/// Throws InputError when a field was given that families other than that of `experiment` have alone.
void refuse_fields_of_others(const Experiment& experiment, const Given& given);

/// 4 D^2 + 2 D F: of a layer with one attention.
std::int64_t layer_params(const ArchSpec& arch);

// The rows, one file each.
extern const FamilyRow kDecoderLmRow, kSeq2SeqRow;

}  // namespace evenkeel
