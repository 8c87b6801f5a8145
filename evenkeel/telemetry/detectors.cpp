#include "evenkeel/telemetry/detectors.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "evenkeel/base/error.h"

namespace evenkeel::telemetry {
namespace {

constexpr double kMadToDeviation = 1.4826;  // of a normal distribution

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

// One more record below the threshold, or none.
void count(int& successive, bool below) {
  successive = below ? std::min(successive + 1, CollapseDetector::kRecords + 1) : 0;
}

[[noreturn]] void bad_state(const char* what) {
  throw InputError(std::string("the checkpoint's ") + what +
                   " state is damaged; delete that checkpoint folder and run again to use an older one");
}

}  // namespace

std::pair<double, double> SpikeDetector::trend() const {
  const std::vector<double> values(window_.begin(), window_.end());
  const double centre = median(values);
  std::vector<double> distances;
  for (const double x : values) distances.push_back(std::abs(x - centre));
  const double measured = kMadToDeviation * median(distances);
  const double n = static_cast<double>(values.size()), all = static_cast<double>(kWindow);
  const double variance = ((all - n) * kPriorDeviation * kPriorDeviation + n * measured * measured) / all;
  return {centre, std::max(std::sqrt(variance), kSmallestDeviation)};
}

std::optional<Json> SpikeDetector::update(std::int64_t step, double loss) {
  if (!std::isfinite(loss)) return std::nullopt;
  const double x = std::log(std::max(loss, 1e-12));
  if (since_) {
    if (x > spike_trend_ + kRecovered * spike_deviation_) return std::nullopt;
    Json event = {{"step", step}, {"kind", "spike_recovered"}, {"since", *since_}};
    since_.reset();
    window_.push_back(x);
    if (window_.size() > kWindow) window_.pop_front();
    return event;
  }
  if (!window_.empty()) {
    const auto [centre, deviation] = trend();
    if (x > centre + kThreshold * deviation) {
      since_ = step;
      spike_trend_ = centre;
      spike_deviation_ = deviation;
      return Json{{"step", step},
                  {"kind", "spike"},
                  {"loss", loss},
                  {"trend", std::exp(centre)},
                  {"deviations", (x - centre) / deviation}};
    }
  }
  window_.push_back(x);
  if (window_.size() > kWindow) window_.pop_front();
  return std::nullopt;
}

Json SpikeDetector::state() const {
  Json state = {{"window", window_}};
  if (since_) {
    state["since"] = *since_;
    state["trend"] = spike_trend_;
    state["deviation"] = spike_deviation_;
  }
  return state;
}

SpikeDetector SpikeDetector::from_state(const Json& state) try {
  SpikeDetector detector;
  detector.window_ = state.at("window").get<std::deque<double>>();
  if (state.contains("since")) {
    detector.since_ = state.at("since").get<std::int64_t>();
    detector.spike_trend_ = state.at("trend").get<double>();
    detector.spike_deviation_ = state.at("deviation").get<double>();
  }
  return detector;
} catch (const Json::exception&) {
  bad_state("spike detector");
}

std::vector<Json> CollapseDetector::update(std::int64_t step,
                                           const std::vector<std::vector<double>>& entropy_norm) {
  std::vector<Json> events;
  heads_.resize(entropy_norm.size());
  bool all_below = !entropy_norm.empty();
  for (std::size_t layer = 0; layer < entropy_norm.size(); ++layer) {
    const std::vector<double>& heads = entropy_norm[layer];
    heads_[layer].resize(heads.size());
    const double mean = std::accumulate(heads.begin(), heads.end(), 0.0) / static_cast<double>(heads.size());
    all_below = all_below && mean < kThreshold;
    for (std::size_t head = 0; head < heads.size(); ++head) {
      count(heads_[layer][head], heads[head] < kThreshold);
      if (heads_[layer][head] == kRecords) {
        events.push_back({{"step", step}, {"kind", "head_collapse"}, {"layer", layer}, {"head", head}});
      }
    }
  }
  count(all_, all_below);
  if (all_ == kRecords) events.push_back({{"step", step}, {"kind", "collapse"}});
  return events;
}

Json CollapseDetector::state() const {
  return {{"all", all_}, {"heads", heads_}};
}

CollapseDetector CollapseDetector::from_state(const Json& state) try {
  CollapseDetector detector;
  detector.all_ = state.at("all").get<int>();
  detector.heads_ = state.at("heads").get<std::vector<std::vector<int>>>();
  return detector;
} catch (const Json::exception&) {
  bad_state("collapse detector");
}

std::optional<Json> nonfinite_event(std::int64_t step, double loss, double grad_norm) {
  const bool loss_ok = std::isfinite(loss);
  if (loss_ok && std::isfinite(grad_norm)) return std::nullopt;
  return Json{{"step", step}, {"kind", "nonfinite"}, {"what", loss_ok ? "gradient" : "loss"}};
}

}  // namespace evenkeel::telemetry
