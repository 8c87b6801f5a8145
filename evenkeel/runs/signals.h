// What one run recorded, reduced to what is drawn of it: a few series over steps and the state of every head
// at the end. docs/formats/run_directory.md lists the records these come from.
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "evenkeel/runs/records.h"

namespace evenkeel::runs {

namespace fs = std::filesystem;

/// Attentions of one kind: all of a stack of its own, or those of "encoder", "decoder", or "cross", the
/// decoder's to the memory.
struct AttentionSignals {
  std::string kind{};     ///< "" for a stack of its own
  Series logit_max{};     ///< largest attention logit of all layers and heads
  Series entropy_min{};   ///< nats: smallest over layers of the mean over heads
  Series qk_sigma_max{};  ///< largest sigma(W_Q W_K^T) of all layers and heads
  /// Of the last record: [layer][head].
  std::vector<std::vector<double>> end_entropy{}, end_logit_max{};  ///< H / ln n (0 to 1); logits
};

/// A run in a few numbers; NaN where nothing was recorded.
struct Outcomes {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  double logit_peak = kNone;   ///< largest finite attention logit of all records, layers and heads
  double entropy_low = kNone;  ///< nats: smallest finite mean over the heads of a layer
  double edge_peak = kNone;    ///< largest sharpness over the edge of stability
  double logit_mean_end = kNone, logz_end = kNone;  ///< of the output logits, in the last record
  /// Of the last record: smallest RMS of a tensor's gradient; share of heads whose normalised entropy is
  /// below the collapse detector's threshold.
  double grad_rms_low = kNone, collapsed_share = kNone;
  std::int64_t heads_step = 0;    ///< step of the last record of heads
  int spikes = 0, collapses = 0;  ///< events
};

struct Signals {
  Series train_loss, valid_loss;            ///< nats
  Series edge_ratio;                        ///< sharpness over the edge of stability
  Series output_mean, output_logz;          ///< of the output logits: mean over ids that occur; log Z, nats
  std::vector<AttentionSignals> attention;  ///< empty when the run recorded no heads
  Outcomes outcomes;
};

/// Reads the run's line files; files that are not there leave their series empty.
Signals read_signals(const fs::path& run);

/// Largest finite value, or smallest; NaN when there is none.
double peak(const Series& series, bool largest);

/// At most about `max_points` points of `series`: the first, the last, and of every stretch of equal length
/// its smallest and its largest value and every change into or out of non-finite, so that no peak is lost.
Series thin(const Series& series, std::size_t max_points);

}  // namespace evenkeel::runs
