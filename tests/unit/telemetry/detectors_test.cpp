#include "evenkeel/telemetry/detectors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "evenkeel/base/error.h"
#include "evenkeel/base/rng.h"

namespace evenkeel::telemetry {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// Alternating exp(1 +- 0.01): 64 values have median 1 and MAD 0.01 in ln loss.
SpikeDetector with_full_window() {
  SpikeDetector detector;
  for (int step = 1; step <= 64; ++step) {
    EXPECT_FALSE(detector.update(step, std::exp(1 + (step % 2 ? 0.01 : -0.01))));
  }
  return detector;
}

TEST(SpikeDetector, ThresholdIsSixRobustDeviationsAboveTheMedian) {
  const double deviation = 1.4826 * 0.01;
  SpikeDetector below = with_full_window(), above = with_full_window();
  EXPECT_FALSE(below.update(65, std::exp(1 + 5.999 * deviation)));
  const auto event = above.update(65, std::exp(1 + 6.001 * deviation));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->at("kind"), "spike");
  EXPECT_EQ(event->at("step"), 65);
  // Logarithm and exponential cost a few ulp.
  EXPECT_NEAR(event->at("trend").get<double>(), std::exp(1.0), 1e-12);
  EXPECT_NEAR(event->at("deviations").get<double>(), 6.001, 1e-9);
  EXPECT_NEAR(event->at("loss").get<double>(), std::exp(1 + 6.001 * deviation), 1e-12);
}

TEST(SpikeDetector, RecoversWithinOneDeviationOfTheTrendBeforeTheSpike) {
  const double deviation = 1.4826 * 0.01;
  SpikeDetector detector = with_full_window();
  ASSERT_TRUE(detector.update(65, std::exp(2.0)));
  EXPECT_FALSE(detector.update(66, std::exp(2.0)));  // one event per spike
  EXPECT_FALSE(detector.update(67, std::exp(1 + 1.01 * deviation)));
  const auto event = detector.update(68, std::exp(1 + 0.99 * deviation));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->at("kind"), "spike_recovered");
  EXPECT_EQ(event->at("step"), 68);
  EXPECT_EQ(event->at("since"), 65);
  EXPECT_FALSE(detector.update(69, std::exp(1.0)));
}

TEST(SpikeDetector, LossThatStaysHighNeverRecovers) {
  SpikeDetector detector = with_full_window();
  ASSERT_TRUE(detector.update(65, std::exp(2.0)));
  for (int step = 66; step < 400; ++step) EXPECT_FALSE(detector.update(step, std::exp(2.0)));
}

TEST(SpikeDetector, WidePriorFromTheSecondStep) {
  // One value: deviation = sqrt(63/64) * 0.1 (its MAD is 0), so the threshold is a factor exp(0.5953)
  // = 1.8136.
  SpikeDetector quiet, loud;
  EXPECT_FALSE(quiet.update(1, 5.0));
  EXPECT_FALSE(quiet.update(2, 5.0 * 1.813));
  EXPECT_FALSE(loud.update(1, 5.0));
  const auto event = loud.update(2, 5.0 * 1.814);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->at("step"), 2);
}

TEST(SpikeDetector, FallingLossAndItsNoiseAreNoSpike) {
  Rng rng(1, "detectors_test/falling");
  SpikeDetector detector;
  for (int step = 1; step <= 2000; ++step) {
    const double clean = 2 + 3.5 / (1 + 0.02 * step);
    EXPECT_FALSE(detector.update(step, clean + 0.03 * rng.normal())) << step;
  }
}

TEST(SpikeDetector, FlatLossKeepsASmallestDeviation) {
  SpikeDetector detector;
  for (int step = 1; step <= 100; ++step) EXPECT_FALSE(detector.update(step, 2.0));
  EXPECT_FALSE(detector.update(101, 2.0 * std::exp(0.029)));
  EXPECT_TRUE(detector.update(102, 2.0 * std::exp(0.031)));
}

TEST(SpikeDetector, NonFiniteAndZeroLossesAreSurvived) {
  SpikeDetector detector;
  EXPECT_FALSE(detector.update(1, kNan));
  EXPECT_FALSE(detector.update(2, 0.0));
  EXPECT_FALSE(detector.update(3, kInf));
  EXPECT_EQ(detector.state().at("window").size(), 1u);
}

TEST(SpikeDetector, StateRoundTripsExactlyThroughText) {
  Rng rng(2, "detectors_test/state");
  SpikeDetector whole;
  int events = 0;
  for (int step = 1; step <= 300; ++step) {
    // Cut and resumed at every step, also inside spikes.
    SpikeDetector resumed = SpikeDetector::from_state(Json::parse(whole.state().dump()));
    EXPECT_EQ(resumed.state(), whole.state());
    const double loss = (step % 70 < 3 && step > 60 ? 8.0 : 3.0) + 0.05 * rng.normal();
    const auto a = whole.update(step, loss), b = resumed.update(step, loss);
    EXPECT_EQ(a, b);
    EXPECT_EQ(resumed.state().dump(), whole.state().dump());
    events += a.has_value();
  }
  EXPECT_EQ(events, 8);  // spikes at 70, 140, 210, 280, each recovered
}

// A run whose batches differ, as sentences of any length do: ln loss has deviation 0.3 around a curve
// from 5.5 to 0.64 nat.
constexpr double kL0 = 5.5;
double uneven_loss(int step, Rng& rng) {
  return (0.64 + (kL0 - 0.64) * std::exp(-step / 200.0)) * std::exp(0.3 * rng.normal());
}

TEST(RelapseDetector, SeesARiseOverAHundredStepsAmongUnevenBatches) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Rng rng(seed, "detectors_test/relapse");
    RelapseDetector detector(kL0);
    for (int step = 1; step <= 1350; ++step) EXPECT_FALSE(detector.train_loss(step, uneven_loss(step, rng)));
    std::vector<Json> events;
    for (int step = 1351; step <= 1500; ++step) {
      const double share = (step - 1350) / 150.0;
      const double clean = 0.64 + (3.05 - 0.64) * share;
      if (auto event = detector.train_loss(step, clean * std::exp(0.3 * rng.normal())))
        events.push_back(*event);
    }
    ASSERT_EQ(events.size(), 1u) << seed;
    EXPECT_EQ(events[0].at("kind"), "relapse");
    EXPECT_EQ(events[0].at("of"), "trend");
    const int step = events[0].at("step").get<int>();
    EXPECT_GT(step, 1370);
    EXPECT_LT(step, 1430);  // half a window after the trend's margin of 0.34 nat is passed, noise included
    EXPECT_EQ(detector.since(), step);
    // A median of 64 has deviation 4.7 %; the smallest of some twenty windows is up to 3 of them below 0.646.
    EXPECT_NEAR(events[0].at("best").get<double>(), 0.6, 0.06);
    EXPECT_LE(events[0].at("best_step").get<int>(), 1370);
    EXPECT_GT(events[0].at("level").get<double>(), events[0].at("best").get<double>() + 0.07 * (kL0 - 0.64));
  }
}

TEST(RelapseDetector, UnevenBatchesOfAHealthyRunAreNoRelapse) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Rng rng(seed, "detectors_test/healthy");
    RelapseDetector detector(kL0);
    for (int step = 1; step <= 3000; ++step)
      EXPECT_FALSE(detector.train_loss(step, uneven_loss(step, rng))) << seed << " " << step;
    EXPECT_FALSE(detector.since());
  }
}

TEST(RelapseDetector, AShortSpikeIsNoRelapse) {
  RelapseDetector detector(kL0);
  for (int step = 1; step <= 500; ++step)
    EXPECT_FALSE(detector.train_loss(step, step >= 300 && step < 330 ? 5.0 : 2.0)) << step;
}

TEST(RelapseDetector, ValidationLossAgainstItsOwnBest) {
  RelapseDetector detector(5.0);
  EXPECT_FALSE(detector.valid_loss(10, 4.0));
  EXPECT_FALSE(detector.valid_loss(20, 2.0));
  EXPECT_FALSE(detector.valid_loss(30, 2.0 + 0.07 * 3 - 1e-9));
  const auto event = detector.valid_loss(40, 2.0 + 0.07 * 3 + 1e-9);
  ASSERT_TRUE(event);
  EXPECT_EQ(*event, (Json{{"step", 40},
                          {"kind", "relapse"},
                          {"of", "valid"},
                          {"best", 2.0},
                          {"best_step", 20},
                          {"level", 2.0 + 0.07 * 3 + 1e-9}}));
  EXPECT_FALSE(detector.valid_loss(50, 6.0));  // one event per relapse
  EXPECT_FALSE(detector.valid_loss(55, kNan));
  EXPECT_EQ(detector.since(), 40);
  EXPECT_EQ(detector.valid_loss(60, 2.1),
            (Json{{"step", 60}, {"kind", "relapse_recovered"}, {"of", "valid"}, {"since", 40}}));
  EXPECT_FALSE(detector.since());
  EXPECT_FALSE(detector.valid_loss(70, 1.0));  // a better best: now 0.28 nat count
  EXPECT_FALSE(detector.valid_loss(80, 1.27));
  EXPECT_TRUE(detector.valid_loss(90, 1.29));
}

TEST(RelapseDetector, OnlyWhatHadBeenLowerRelapses) {
  RelapseDetector rising(5.0), near(5.0), unknown, infinite(kInf);
  EXPECT_FALSE(rising.valid_loss(1, 5.1));
  EXPECT_FALSE(rising.valid_loss(2, 9.0));
  EXPECT_FALSE(near.valid_loss(1, 4.951));  // within 0.05 nat of l0: never lower
  EXPECT_FALSE(near.valid_loss(2, 9.0));
  EXPECT_FALSE(near.valid_loss(3, 4.949));
  EXPECT_FALSE(near.valid_loss(4, 4.998));  // within 0.05 nat of the best: equal
  EXPECT_TRUE(near.valid_loss(5, 5.0));
  for (RelapseDetector* detector : {&unknown, &infinite}) {
    EXPECT_FALSE(detector->valid_loss(1, 2.0));
    EXPECT_FALSE(detector->valid_loss(2, 4.0));
  }
}

TEST(RelapseDetector, StateRoundTripsExactlyThroughText) {
  Rng rng(3, "detectors_test/relapse_state");
  RelapseDetector whole(4.0);
  int events = 0;
  for (int step = 1; step <= 400; ++step) {
    RelapseDetector resumed = RelapseDetector::from_state(parse_json(json_text(whole.state()), "state"));
    const double loss = (step > 200 && step < 300 ? 3.5 : 2.0) * std::exp(0.1 * rng.normal());
    const auto a = whole.train_loss(step, loss), b = resumed.train_loss(step, loss);
    EXPECT_EQ(a, b);
    events += a.has_value();
    if (step % 50 == 0) {
      const auto c = whole.valid_loss(step, loss), d = resumed.valid_loss(step, loss);
      EXPECT_EQ(c, d);
    }
    EXPECT_EQ(json_text(resumed.state()), json_text(whole.state()));
    EXPECT_EQ(resumed.since(), whole.since());
  }
  EXPECT_EQ(events, 2);
}

TEST(CollapseDetector, NeedsEveryLayerInTenSuccessiveRecords) {
  CollapseDetector detector;
  const std::vector<std::vector<double>> low{{0.01, 0.08}, {0.04, 0.05}};  // means 0.045 in both layers
  const std::vector<std::vector<double>> one_layer_fine{{0.01, 0.02}, {0.3, 0.3}};
  for (int i = 1; i <= 9; ++i) EXPECT_TRUE(detector.update(i, low).empty());
  for (const Json& event : detector.update(10, one_layer_fine)) EXPECT_NE(event.at("kind"), "collapse");
  int collapses = 0;
  for (int i = 11; i <= 40; ++i) {
    for (const Json& event : detector.update(i, low)) {
      if (event.at("kind") != "collapse") continue;
      EXPECT_EQ(event.at("step"), 20);
      ++collapses;
    }
  }
  EXPECT_EQ(collapses, 1);
  detector.update(41, one_layer_fine);
  for (int i = 42; i <= 51; ++i) {
    for (const Json& event : detector.update(i, low)) collapses += event.at("kind") == "collapse";
  }
  EXPECT_EQ(collapses, 2);  // armed again by the entropy that rose
}

TEST(CollapseDetector, OneSharpHeadIsInformationOnly) {
  CollapseDetector detector;
  std::vector<Json> events;
  for (int i = 1; i <= 30; ++i) {
    for (Json& event : detector.update(i, {{0.5, 0.6}, {0.7, 0.049}})) events.push_back(event);
  }
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0], (Json{{"step", 10}, {"kind", "head_collapse"}, {"layer", 1}, {"head", 1}}));
}

TEST(CollapseDetector, NonFiniteEntropyIsNoCollapse) {
  CollapseDetector detector;
  for (int i = 1; i <= 30; ++i) EXPECT_TRUE(detector.update(i, {{kNan, 0.2}}).empty());
  for (int i = 1; i <= 30; ++i) EXPECT_TRUE(detector.update(i, {}).empty());
}

TEST(CollapseDetector, StateRoundTrips) {
  CollapseDetector whole;
  for (int i = 1; i <= 25; ++i) {
    CollapseDetector resumed = CollapseDetector::from_state(Json::parse(whole.state().dump()));
    const std::vector<std::vector<double>> values{{0.01, i % 7 ? 0.02 : 0.9}};
    EXPECT_EQ(whole.update(i, values), resumed.update(i, values));
    EXPECT_EQ(whole.state(), resumed.state());
  }
}

TEST(Detectors, DamagedStateIsAnInputError) {
  EXPECT_THROW(SpikeDetector::from_state(Json::object()), InputError);
  EXPECT_THROW(SpikeDetector::from_state({{"window", "x"}}), InputError);
  EXPECT_THROW(SpikeDetector::from_state(nullptr), InputError);
  EXPECT_THROW(CollapseDetector::from_state({{"all", 1}}), InputError);
  EXPECT_THROW(RelapseDetector::from_state({{"l0", 1}}), InputError);
}

TEST(NonfiniteEvent, NamesTheLossFirst) {
  EXPECT_FALSE(nonfinite_event(3, 2.0, 1.0));
  EXPECT_EQ(nonfinite_event(3, kNan, kNan)->at("what"), "loss");
  EXPECT_EQ(nonfinite_event(3, 2.0, kInf), (Json{{"step", 3}, {"kind", "nonfinite"}, {"what", "gradient"}}));
}

}  // namespace
}  // namespace evenkeel::telemetry
