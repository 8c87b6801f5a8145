// What one run recorded, reduced to what the report draws: a few series over steps and the state of every
// head at the end. docs/formats/run_directory.md lists the records these come from.
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "evenkeel/runs/records.h"

namespace evenkeel::report {

namespace fs = std::filesystem;

/// Attentions of one kind: all of a stack of its own, or those of "encoder", "decoder", or "cross", the
/// decoder's to the memory.
struct AttentionSignals {
  std::string kind;           ///< "" for a stack of its own
  runs::Series logit_max;     ///< largest attention logit of all layers and heads
  runs::Series entropy_min;   ///< nats: smallest over layers of the mean over heads
  runs::Series qk_sigma_max;  ///< largest sigma(W_Q W_K^T) of all layers and heads
  /// Of the last record: [layer][head].
  std::vector<std::vector<double>> end_entropy, end_logit_max;  ///< H / ln n (0 to 1); logits
};

struct Signals {
  runs::Series train_loss, valid_loss;      ///< nats
  runs::Series edge_ratio;                  ///< sharpness over the edge of stability
  runs::Series output_mean, output_logz;    ///< of the output logits: mean over ids that occur; log Z, nats
  std::vector<AttentionSignals> attention;  ///< empty when the run recorded no heads
  /// Of the last record: smallest RMS of a tensor's gradient; share of heads whose normalised entropy is
  /// below the collapse detector's threshold. NaN when none was recorded.
  double grad_rms_low = std::numeric_limits<double>::quiet_NaN();
  double collapsed_share = std::numeric_limits<double>::quiet_NaN();
  std::int64_t end_step = 0;
  int spikes = 0, collapses = 0;  ///< events
};

/// Reads the run's line files; files that are not there leave their series empty.
Signals read_signals(const fs::path& run);

/// At most about `max_points` points of `series`: the first, the last, and of every stretch of equal length
/// its smallest and its largest value and every change into or out of non-finite, so that no peak is lost.
runs::Series thin(const runs::Series& series, std::size_t max_points);

}  // namespace evenkeel::report
