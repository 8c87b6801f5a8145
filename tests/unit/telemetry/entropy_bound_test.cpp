#include "evenkeel/telemetry/entropy_bound.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "evenkeel/base/rng.h"

namespace evenkeel::telemetry {
namespace {

/// The least entropic logits of norm s: one up, the others equal and down.
std::vector<double> extremal(std::int64_t n, double s) {
  const double keys = static_cast<double>(n);
  std::vector<double> z(static_cast<std::size_t>(n), -s / std::sqrt(keys * (keys - 1)));
  z[0] = s * std::sqrt((keys - 1) / keys);
  return z;
}

struct TableRow {
  std::int64_t n;
  std::vector<double> bounds;
};
const std::vector<double> kNorms{0, 0.5, 1, 2, 4, 6, 8, 10, 15};
const std::vector<TableRow> kTable{
    {2, {0.69315, 0.63435, 0.49420, 0.21527, 0.02318, 0.00196, 0.00015, 1e-5, 0}},
    {4, {1.38629, 1.34962, 1.22666, 0.79095, 0.16192, 0.02324, 0.00299, 0.00036, 0}},
    {16, {2.77259, 2.76207, 2.71680, 2.41871, 1.01804, 0.21372, 0.03572, 0.00555, 5e-5}},
    {64, {4.15888, 4.15617, 4.14370, 4.04109, 2.87855, 0.92271, 0.17650, 0.02921, 0.00028}},
    {197, {5.28320, 5.28232, 5.27817, 5.24210, 4.64539, 2.33769, 0.54787, 0.09486, 0.00093}},
    {1024, {6.93147, 6.93130, 6.93050, 6.92334, 6.77945, 5.56241, 2.33307, 0.48716, 0.00497}}};

TEST(EntropyBound, IsTheTableAndTheEntropyOfTheExtremalLogits) {
  for (const auto& [n, bounds] : kTable)
    for (std::size_t i = 0; i < kNorms.size(); ++i) {
      const double bound = entropy_bound(n, kNorms[i]);
      EXPECT_NEAR(bound, bounds[i], 1e-5) << n << " " << kNorms[i];
      const RowEntropy row = row_entropy(extremal(n, kNorms[i]));
      EXPECT_NEAR(row.entropy, bound, 1e-13) << n << " " << kNorms[i];
      EXPECT_NEAR(row.centred_norm, kNorms[i], 1e-12);
    }
}

TEST(EntropyBound, HoldsAtTheEnds) {
  EXPECT_EQ(entropy_bound(1, 0), 0);
  EXPECT_EQ(entropy_bound(1, 5), 0);
  EXPECT_DOUBLE_EQ(entropy_bound(7, 0), std::log(7));
  EXPECT_EQ(entropy_bound(7, std::numeric_limits<double>::infinity()), 0);
  EXPECT_EQ(entropy_bound(1'000'000, 1e300), 0);
  EXPECT_GT(entropy_bound(1'000'000, 700), 0);
  EXPECT_TRUE(std::isnan(entropy_bound(7, std::nan(""))));
}

// S 2.3: a random search finds no row below its bound.
TEST(EntropyBound, NoRandomRowIsBelowIt) {
  Rng rng(1, "test/entropy_bound");
  double least = 1;
  for (const std::int64_t n : {2, 3, 5, 8, 16, 40})
    for (const double s : {0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 40.0})
      for (int sample = 0; sample < 40; ++sample) {
        // Powers make rows of few large logits, which come closest.
        std::vector<double> z(static_cast<std::size_t>(n));
        double squares = 0;
        for (double& x : z) {
          x = std::pow(rng.normal(), 1 + sample % 4);
          squares += x * x;
        }
        for (double& x : z) x *= s / std::sqrt(squares);
        const RowEntropy row = row_entropy(z);
        EXPECT_LE(row.centred_norm, s * (1 + 1e-12));
        const double slack = row.entropy - entropy_bound(n, row.centred_norm);
        least = std::min(least, slack);
        EXPECT_GE(slack, -1e-13) << n << " " << s;
        EXPECT_LE(entropy_bound(n, s), entropy_bound(n, row.centred_norm) + 1e-13) << "centring sharpens";
      }
  EXPECT_LT(least, 0.01) << "the search never came near";
}

// S 6.9: what rounding may take from a row before it counts as a violation.
TEST(EntropyBound, SlackOfTheCheck) {
  EXPECT_DOUBLE_EQ(entropy_bound_slack(64), 1e-5 * (1 + std::log(64.0)));
}

// S 6.9.
TEST(RowEntropy, KnownAnswers) {
  EXPECT_NEAR(row_entropy(std::vector<double>(12, 3.5)).entropy, std::log(12), 1e-14);
  EXPECT_EQ(row_entropy(std::vector<double>(12, 3.5)).centred_norm, 0);
  EXPECT_EQ(row_entropy(std::vector<double>{0, 1e4, 0}).entropy, 0);
  EXPECT_EQ(row_entropy(std::vector<double>{2}).entropy, 0);
  const auto at_temperature = [](double tau) {
    std::vector<double> z = extremal(197, 1);
    for (double& x : z) x /= tau;
    return row_entropy(z).entropy;
  };
  EXPECT_NEAR(at_temperature(1), 5.27817, 1e-5);
  EXPECT_NEAR(at_temperature(0.1), 0.09486, 1e-5);
}

// S 2.4.
TEST(InflationBound, OfAWidthOf768) {
  const std::vector<double> mu(768 * 768, -0.25), none(mu.size(), 0), equal(mu.size(), 0.25),
      loud(mu.size(), 0.75);
  EXPECT_NEAR(inflation_bound(mu, none), 27.7, 0.05);
  EXPECT_NEAR(inflation_bound(mu, equal), 19.6, 0.05);
  EXPECT_NEAR(inflation_bound(mu, loud), 8.76, 0.005);
  EXPECT_EQ(inflation_bound(none, none), 0);
  EXPECT_DOUBLE_EQ(inflation_bound(6, 9, 4), 3);
}

}  // namespace
}  // namespace evenkeel::telemetry
