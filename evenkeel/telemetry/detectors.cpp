#include "evenkeel/telemetry/detectors.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "evenkeel/base/error.h"

namespace evenkeel::telemetry {
namespace {

constexpr double kMadToDeviation = 1.4826;  // of a normal distribution
constexpr double kMedianError =
    1.2533;  // sqrt(pi / 2): standard error of its median, times sqrt(n) / deviation

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

void push(std::deque<double>& window, double value) {
  window.push_back(value);
  if (window.size() > SpikeDetector::kWindow) window.pop_front();
}

struct Trend {
  double centre, deviation;
};

// Median and robust deviation of a window that is not empty, its missing values taken as prior ones.
Trend trend_of(const std::deque<double>& window) {
  const std::vector<double> values(window.begin(), window.end());
  const double centre = median(values);
  std::vector<double> distances;
  for (const double x : values) distances.push_back(std::abs(x - centre));
  const double measured = kMadToDeviation * median(std::move(distances));
  const double n = static_cast<double>(values.size()), all = static_cast<double>(SpikeDetector::kWindow);
  const double prior = SpikeDetector::kPriorDeviation;
  const double variance = ((all - n) * prior * prior + n * measured * measured) / all;
  return {centre, std::max(std::sqrt(variance), SpikeDetector::kSmallestDeviation)};
}

double log_loss(double loss) {
  return std::log(std::max(loss, 1e-12));
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

std::optional<Json> SpikeDetector::update(std::int64_t step, double loss) {
  if (!std::isfinite(loss)) return std::nullopt;
  const double x = log_loss(loss);
  if (since_) {
    if (x > spike_trend_ + kRecovered * spike_deviation_) return std::nullopt;
    Json event = {{"step", step}, {"kind", "spike_recovered"}, {"since", *since_}};
    since_.reset();
    push(window_, x);
    return event;
  }
  if (!window_.empty()) {
    const auto [centre, deviation] = trend_of(window_);
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
  push(window_, x);
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

std::optional<Json> RelapseDetector::judge(Watched& watched, const char* of, std::int64_t step, double level,
                                           double error) const {
  if (level <= watched.best) {
    watched.best = level;
    watched.best_step = step;
    watched.error = error;
  }
  const double margin = std::max(kShare * (l0_ - watched.best), kEqual);
  const double noise = watched.since ? 0 : kErrors * std::hypot(error, watched.error);
  // Written so that nothing is above while l0 is not finite.
  const bool above =
      watched.best < l0_ - kEqual && level > watched.best + margin && level > watched.best * std::exp(noise);
  if (above == watched.since.has_value()) return std::nullopt;
  if (above) {
    watched.since = step;
    return Json{{"step", step},         {"kind", "relapse"}, {"of", of},
                {"best", watched.best}, {"level", level},    {"best_step", watched.best_step}};
  }
  const Json event{{"step", step}, {"kind", "relapse_recovered"}, {"of", of}, {"since", *watched.since}};
  watched.since.reset();
  return event;
}

std::optional<Json> RelapseDetector::train_loss(std::int64_t step, double loss) {
  if (!std::isfinite(loss)) return std::nullopt;
  push(window_, log_loss(loss));
  if (window_.size() < kWindow) return std::nullopt;
  const auto [centre, deviation] = trend_of(window_);
  const double error = kMedianError * deviation / std::sqrt(static_cast<double>(kWindow));
  return judge(trend_, "trend", step, std::exp(centre), error);
}

std::optional<Json> RelapseDetector::valid_loss(std::int64_t step, double loss) {
  if (!std::isfinite(loss)) return std::nullopt;
  return judge(valid_, "valid", step, loss, 0);
}

std::optional<std::int64_t> RelapseDetector::since() const {
  if (!trend_.since || !valid_.since) return trend_.since ? trend_.since : valid_.since;
  return std::min(*trend_.since, *valid_.since);
}

Json RelapseDetector::state() const {
  const auto json = [](const Watched& watched) {
    Json state{{"best", watched.best}, {"best_step", watched.best_step}, {"error", watched.error}};
    if (watched.since) state["since"] = *watched.since;
    return state;
  };
  return {{"l0", l0_}, {"window", window_}, {"trend", json(trend_)}, {"valid", json(valid_)}};
}

RelapseDetector RelapseDetector::from_state(const Json& state) try {
  const auto watched = [](const Json& json) {
    Watched read{json.at("best").get<double>(), json.at("best_step").get<std::int64_t>(),
                 json.at("error").get<double>()};
    if (json.contains("since")) read.since = json.at("since").get<std::int64_t>();
    return read;
  };
  RelapseDetector detector(state.at("l0").get<double>());
  detector.window_ = state.at("window").get<std::deque<double>>();
  detector.trend_ = watched(state.at("trend"));
  detector.valid_ = watched(state.at("valid"));
  return detector;
} catch (const Json::exception&) {
  bad_state("relapse detector");
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
