// What the pages of docs/reference say of treatments, optimisers and residual schemes beyond their fields:
// formula, cost, source and the metrics that show what happens. One row each; to document a new one, add its
// row to treatments.cpp, optimisers.cpp or schemes.cpp. The tests name what has none.
//
// Texts are Markdown in one line, formulas plain text of one or more lines in the letters of
// docs/design/house.md, with p a parameter, g its gradient and lr the learning rate of the step.
#pragma once

#include <span>

#include "evenkeel/spec/optim.h"
#include "evenkeel/spec/residual.h"

namespace evenkeel::reference {

struct Treatment {
  const char* group;    ///< heading on the page; rows of a group stand together
  const char* field;    ///< dotted path of the field that switches it on
  const char* title;    ///< without a full stop
  const char* formula;  ///< "" where there is none
  const char* effect;   ///< what it does for training, a sentence or two
  /// Further fields that say how, separated by spaces; the name of a section stands for all that is in it.
  const char* settings;
  const char* metrics;  ///< ids of the metric table that show it, separated by spaces
  /// A measured figure says so, and docs/design/performance.md has it; else what the computation adds.
  const char* cost;
  const char* source;
  const char* header;  ///< the file that says more
};

struct Optimiser {
  OptimiserKind kind;
  const char* title;
  const char* formula;
  const char* state;     ///< per parameter
  const char* decay;     ///< what weight decay means
  const char* settings;  ///< fields of its own, separated by spaces; those of all optimisers left out
  const char* cost;
  const char* source;
  const char* header;
};

struct Scheme {
  ResidualScheme scheme;
  const char* sublayer;  ///< what comes out of a sub-layer with input x and branch f
  const char* start;     ///< how it starts beyond arch.init; "" where nothing is special
  const char* source;
};

/// In the order of the pages.
std::span<const Treatment> treatments();
std::span<const Optimiser> optimisers();
std::span<const Scheme> schemes();

}  // namespace evenkeel::reference
