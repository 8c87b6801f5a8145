#include "evenkeel/analysis/verdict.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

namespace evenkeel::analysis {
namespace {

using Kind = Boundary::Kind;

/// Two significant digits: a boundary is never known better.
std::string lr_text(double lr) {
  return fmt::format("{:.2g}", lr);
}

/// A true minus sign, as the charts have it.
std::string minus(std::string text) {
  for (std::size_t at = text.find('-'); at != std::string::npos; at = text.find('-', at))
    text.replace(at, 1, "−");
  return text;
}

std::string plus_minus(const Estimate& e) {
  if (!e.value) return "";
  // Adding 0 turns a rounded -0 into 0.
  std::string text = minus(fmt::format("{:+.3f}", std::round(1e3 * *e.value) / 1e3 + 0.0));
  if (e.interval) text += fmt::format(" ± {:.3f}", 0.5 * (e.interval->high - e.interval->low));
  return text + " nat";
}

std::string at_size(const Analysis& analysis, const std::string& size) {
  return analysis.sizes.size() > 1 ? fmt::format("At size {}: ", size) : "";
}

std::string limit(double decades) {
  if (std::isinf(decades)) return decades > 0 ? "∞" : "−∞";
  return minus(fmt::format("{:.1f}", decades));
}

std::string headline(const Comparison& c) {
  const Estimate& d = c.boundary_decades;
  if (!d.value) return fmt::format("Whether {} moves the boundary LR cannot be said: {}.", c.arm, d.why);
  const bool up = *d.value > 0;
  const std::string moves =
      fmt::format("{} moves the boundary LR {} by {}{:.1f} decades", c.arm, up ? "up" : "down",
                  c.at_least ? "at least " : "", std::abs(*d.value));
  // Below a twentieth of a decade no sweep can tell two arms apart.
  if (std::abs(*d.value) < 0.05 && !c.at_least) return c.arm + " does not move the boundary LR.";
  if (!d.interval || d.interval->low > 0 || d.interval->high < 0) return moves + ".";
  if (std::isinf(d.interval->low) && std::isinf(d.interval->high)) {
    return moves + ", but there are too few cells for an interval.";
  }
  return fmt::format("{}, but the interval, [{}, {}], does not exclude chance.", moves,
                     limit(d.interval->low), limit(d.interval->high));
}

std::string boundary_words(const Boundary& b) {
  if (b.kind == Kind::kAboveRange)
    return fmt::format("above {} (no cell unstable up to there)", lr_text(b.bound));
  if (b.kind == Kind::kBelowRange) return fmt::format("below {} (every cell unstable)", lr_text(b.bound));
  if (b.kind == Kind::kNone) return "unknown (" + b.why + ")";
  return boundary_text(b) + (b.extrapolated ? " (beyond the swept LRs)" : "");
}

std::string boundary_sentence(const Comparison& c, const Curve& arm, const Curve& base) {
  std::string text = fmt::format("With {} the boundary LR is {} against {} with {}", c.arm,
                                 boundary_words(arm.boundary), boundary_words(base.boundary), c.baseline);
  if (c.seeds > 0 && c.boundary_decades.value) {
    const bool up = *c.boundary_decades.value > 0;
    if (up && c.seeds == 1) {
      text += "; one seed was run";
    } else {
      text += up ? fmt::format("; {} of {} seeds agree", c.agree, c.seeds)
                 : fmt::format("; instability begins later in {} of {} seeds", c.agree, c.seeds);
    }
  }
  return text + ".";
}

/// Where a treatment changes what a learning rate means, only the width of the range compares.
std::string range_sentence(const Curve& arm, const Curve& base) {
  if (!arm.stable_decades.value || !base.stable_decades.value) return "";
  return fmt::format("Well trained and stable from LR {} up: {:.1f} decades, against {:.1f} from {}.",
                     lr_text(*arm.stable_lr_min.value), *arm.stable_decades.value, *base.stable_decades.value,
                     lr_text(*base.stable_lr_min.value));
}

std::string loss_sentence(const Comparison& c, const Curve& arm, const Curve& base) {
  std::string text;
  if (c.best_loss_change.value) {
    text = fmt::format("At each arm's best LR ({} against {}) the loss changes by {}",
                       lr_text(*arm.best_lr.value), lr_text(*base.best_lr.value),
                       plus_minus(c.best_loss_change));
  }
  if (!c.loss_change.empty() && c.loss_change.front().change.value) {
    text += fmt::format("{}t the lowest LR, {}, {}by {}", text.empty() ? "A" : "; a",
                        lr_text(c.loss_change.front().lr), text.empty() ? "the loss changes " : "",
                        plus_minus(c.loss_change.front().change));
  }
  return text.empty() ? "" : text + ".";
}

/// What is known; the headline has said already why the rest is not.
std::string details(const Comparison& c, const Curve& arm, const Curve& base) {
  std::vector<std::string> sentences;
  if (arm.boundary.kind != Kind::kNone && base.boundary.kind != Kind::kNone) {
    sentences.push_back(boundary_sentence(c, arm, base));
  }
  if (std::string range = range_sentence(arm, base); !range.empty()) sentences.push_back(std::move(range));
  if (std::string loss = loss_sentence(c, arm, base); !loss.empty()) sentences.push_back(std::move(loss));
  if (c.step_time_ratio.value) {
    sentences.push_back(fmt::format("A step takes {:.2f} times as long (wall clock, not reproducible).",
                                    *c.step_time_ratio.value));
  }
  return fmt::format("{}", fmt::join(sentences, " "));
}

std::string alone(const Curve& c) {
  std::string text = fmt::format("{}: the boundary LR is {}", c.arm, boundary_words(c.boundary));
  if (c.best_lr.value)
    text += fmt::format("; the best LR is {} with loss {:.3f} nat", lr_text(*c.best_lr.value),
                        *c.best_loss.value);
  return text + ".";
}

}  // namespace

std::string boundary_text(const Boundary& b) {
  switch (b.kind) {
    case Kind::kAboveRange:
      return "> " + lr_text(b.bound);
    case Kind::kBelowRange:
      return "< " + lr_text(b.bound);
    case Kind::kNone:
      return "unknown";
    case Kind::kFitted:
      break;
  }
  if (b.interval.low == 0 && std::isinf(b.interval.high)) return lr_text(b.value);
  const std::string high = std::isinf(b.interval.high) ? "∞" : lr_text(b.interval.high);
  return fmt::format("{} [{}, {}]", lr_text(b.value), lr_text(b.interval.low), high);
}

Finding finding(const Analysis& analysis, const Comparison& c) {
  return {at_size(analysis, c.size) + headline(c),
          details(c, *analysis.find(c.arm, c.size), *analysis.find(c.baseline, c.size))};
}

std::vector<std::string> verdict(const Analysis& analysis) {
  std::vector<std::string> sentences;
  for (const Comparison& c : analysis.comparisons) {
    Finding f = finding(analysis, c);
    sentences.push_back(std::move(f.headline));
    if (!f.details.empty()) sentences.push_back(std::move(f.details));
  }
  if (!sentences.empty()) return sentences;
  for (const Curve& c : analysis.curves) sentences.push_back(at_size(analysis, c.size) + alone(c));
  if (sentences.empty()) sentences.push_back("There are no cells.");
  return sentences;
}

}  // namespace evenkeel::analysis
