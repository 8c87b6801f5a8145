// From a study file to cells: the cross product of its axes, each point bound, checked, resolved and hashed
// before anything runs.
//
// A cell is one run: one resolved configuration, seed included, named by its hash. Its arm is everything but
// size, learning rate and seed (docs/guide/definitions.md).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "evenkeel/runs/manifest.h"
#include "evenkeel/spec/sweep.h"

namespace evenkeel::sweep {

struct Cell {
  Experiment experiment;  ///< resolved
  std::string hash;       ///< config_hash(experiment)
  /// "qk_norm=off": by the swept settings (spec/arm.h), else by the interventions that are not at their
  /// default
  std::string arm;
  runs::DataRecord data;
  int round = 0;  ///< 0: of the grid; else the round of refinement that asked for it
};

/// The same cell at another learning rate, asked for by round `round` of refinement. Throws InputError when
/// that rate contradicts another field.
Cell cell_at(const Cell& cell, double lr, int round);

/// What opening the data of a cell tells. This folder knows no data formats, so the caller opens.
struct OpenedData {
  DataFacts facts;
  runs::DataRecord record;
};
/// Opens the data for windows of `context` tokens; throws InputError when it cannot be used.
using OpenData = std::function<OpenedData(const DataSpec&, std::int64_t context)>;

struct Plan {
  StudySpec study;
  std::vector<Axis> axes;
  std::vector<Cell> cells;  ///< seed varies slowest, then size, then arm, learning rate fastest
};

/// Every cell of the study. `open` is called once for each distinct data section and context. Throws
/// InputError for contradictions (naming both sides) and for two points that come out as the same
/// configuration.
Plan make_plan(const SweepSpec& spec, const OpenData& open, bool fast_bf16);

/// Floating-point operations of the whole training: 6 per weight and token for the matrices (embedding
/// excluded, head included), and 6 L T D per token for attention over the causal half. Evaluation not
/// counted.
double train_flops(const Experiment& resolved);

}  // namespace evenkeel::sweep
