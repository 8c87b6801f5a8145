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

std::string decades(double x) {
  if (std::isinf(x)) return x > 0 ? "∞" : "−∞";
  return minus(fmt::format("{:.2f}", std::round(100 * x) / 100 + 0.0));
}

std::string percent(double level) {
  return fmt::format("{:g} %", 100 * level);
}

std::string sign_text(const Shift& s) {
  if (!s.paired) return "no common seeds";
  std::string text = fmt::format("of {} seed{} {} surely later, {} surely earlier, {} undecided", s.seeds,
                                 s.seeds == 1 ? "" : "s", s.later, s.earlier, s.seeds - s.later - s.earlier);
  return text;
}

/// "by 0.32 to 0.81 decades (95 % interval)", in the direction given.
std::string amount(const Interval& interval, bool up, double level) {
  const double near = up ? interval.low : -interval.high, far = up ? interval.high : -interval.low;
  if (std::isinf(far)) return fmt::format("by at least {} decades ({})", decades(near), percent(level));
  return fmt::format("by {} to {} decades ({} interval)", decades(near), decades(far), percent(level));
}

/// "the shift lies between 0.32 and 0.81 decades"; one-sided where a side is open.
std::string lies(double low, double high) {
  if (std::isinf(low) && std::isinf(high)) return "the shift may have any size";
  if (std::isinf(high)) return fmt::format("the shift is {} decades or more", decades(low));
  if (std::isinf(low)) return fmt::format("the shift is {} decades or less", decades(high));
  return fmt::format("the shift lies between {} and {} decades", decades(low), decades(high));
}

std::string between(const Shift& s, double level) {
  if (s.interval)
    return fmt::format("{} ({} interval)", lies(s.interval->low, s.interval->high), percent(level));
  return fmt::format("{} by the tried learning rates ({}: no interval)", lies(s.low, s.high), s.why);
}

/// What would narrow the answer.
std::string remedy(const Curve& arm, const Curve& base) {
  const double width = std::max(arm.boundary.width(), base.boundary.width());
  if (std::isnan(width)) return "";
  return fmt::format("; one more run per seed and arm (--refine) would halve the brackets, to {} decades",
                     decades(width / 2));
}

std::string headline(const Comparison& c, const Curve& arm, const Curve& base, const Options& options) {
  const Shift& s = c.shift;
  switch (s.direction) {
    case Direction::kNotKnown:
      return fmt::format("Whether {} moves the boundary LR cannot be said: {}.", c.arm, s.why);
    case Direction::kNone:
      return fmt::format("With {} the boundary LR differs by less than {:g} decades: {}.", c.arm,
                         options.margin, between(s, options.level));
    case Direction::kUnresolved:
      return fmt::format("Whether {} moves the boundary LR is not resolved: {}{}.", c.arm,
                         between(s, options.level), remedy(arm, base));
    case Direction::kUp:
    case Direction::kDown:
      break;
  }
  const bool up = s.direction == Direction::kUp;
  const std::string moves = fmt::format("{} moves the boundary LR {}", c.arm, up ? "up" : "down");
  const bool bounded = s.interval && (up ? s.interval->low > 0 : s.interval->high < 0);
  if (bounded) return fmt::format("{}, {}.", moves, amount(*s.interval, up, options.level));
  return fmt::format("{}: {} of {} seeds surely {} (sign test, p = {:.2g}); by how much is open: {}.", moves,
                     up ? s.later : s.earlier, s.seeds, up ? "later" : "earlier", s.p,
                     between(s, options.level));
}

std::string boundary_words(const Boundary& b) {
  switch (b.kind) {
    case Kind::kNone:
      return "unknown (" + b.why + ")";
    case Kind::kAtLeast:
      return fmt::format("at least {}{}", lr_text(b.interval ? b.interval->low : b.low),
                         b.interval ? "" : fmt::format(" ({})", b.why));
    case Kind::kAtMost:
      return fmt::format("at most {}{}", lr_text(b.interval ? b.interval->high : b.high),
                         b.interval ? "" : fmt::format(" ({})", b.why));
    case Kind::kBracketed:
      break;
  }
  std::string text = fmt::format("between {} and {}", lr_text(b.low), lr_text(b.high));
  if (b.interval) text += fmt::format(" [{}, {}]", lr_text(b.interval->low), lr_text(b.interval->high));
  return text;
}

/// What a reader of a boundary must know of its seeds.
std::string seeds_text(const Curve& c) {
  std::string text;
  if (c.boundary.blocked > 0)
    text += fmt::format(" {} seed{} of {} {} left out: cells are missing.", c.boundary.blocked,
                        c.boundary.blocked == 1 ? "" : "s", c.arm, c.boundary.blocked == 1 ? "is" : "are");
  if (c.boundary.reentrant > 0) {
    text +=
        fmt::format(" With {} {} seed{} became stable again above {} bracket", c.arm, c.boundary.reentrant,
                    c.boundary.reentrant == 1 ? "" : "s", c.boundary.reentrant == 1 ? "its" : "their");
    if (const auto& last = c.boundary.interval_if_last)
      text += fmt::format(" (counted as stable the boundary is [{}, {}])", lr_text(last->low),
                          lr_text(last->high));
    text += ".";
  }
  return text;
}

std::string boundary_sentence(const Comparison& c, const Curve& arm, const Curve& base) {
  std::string text = fmt::format("With {} the boundary LR is {}, with {} {}", c.arm,
                                 boundary_words(arm.boundary), c.baseline, boundary_words(base.boundary));
  if (c.shift.known()) text += "; " + sign_text(c.shift);
  return text + "." + seeds_text(arm) + seeds_text(base);
}

/// Where a treatment changes what a learning rate means, only the width of the range compares; the effective
/// LR says whether it does.
std::string range_sentence(const Curve& arm, const Curve& base) {
  if (!arm.stable_decades.value || !base.stable_decades.value) return "";
  std::string text =
      fmt::format("Well trained and stable from LR {} up: {:.1f} decades, against {:.1f} from {}",
                  lr_text(*arm.stable_lr_min.value), *arm.stable_decades.value, *base.stable_decades.value,
                  lr_text(*base.stable_lr_min.value));
  const double mine = arm.at(*arm.best_lr.value)->effective_lr;
  const double theirs = base.at(*base.best_lr.value)->effective_lr;
  if (std::isfinite(mine) && std::isfinite(theirs))
    text += fmt::format("; effective LR at the best LR {} against {}", lr_text(mine), lr_text(theirs));
  return text + ".";
}

std::string loss_sentence(const Comparison& c, const Curve& arm, const Curve& base) {
  std::string text;
  if (c.best_loss_change.value) {
    text = fmt::format(
        "At each arm's best LR ({} against {}; best of the grid on the same seeds, so "
        "flattering) the loss changes by {}",
        lr_text(*arm.best_lr.value), lr_text(*base.best_lr.value), plus_minus(c.best_loss_change));
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
  return fmt::format("{}", fmt::join(sentences, " "));
}

std::string alone(const Curve& c) {
  std::string text = fmt::format("{}: the boundary LR is {}", c.arm, boundary_words(c.boundary));
  if (c.best_lr.value)
    text += fmt::format("; the best LR is {} with loss {:.3f} nat", lr_text(*c.best_lr.value),
                        *c.best_loss.value);
  return text + "." + seeds_text(c);
}

}  // namespace

std::string boundary_text(const Boundary& b) {
  switch (b.kind) {
    case Kind::kAtLeast:
      return "≥ " + lr_text(b.interval ? b.interval->low : b.low);
    case Kind::kAtMost:
      return "≤ " + lr_text(b.interval ? b.interval->high : b.high);
    case Kind::kNone:
      return "unknown";
    case Kind::kBracketed:
      break;
  }
  std::string text = fmt::format("{}–{}", lr_text(b.low), lr_text(b.high));
  if (b.interval) text += fmt::format(" [{}, {}]", lr_text(b.interval->low), lr_text(b.interval->high));
  return text;
}

Finding finding(const Analysis& analysis, const Comparison& c) {
  const Curve &arm = *analysis.find(c.arm, c.size), &base = *analysis.find(c.baseline, c.size);
  return {at_size(analysis, c.size) + headline(c, arm, base, analysis.options), details(c, arm, base)};
}

std::string number_of_comparisons(const Analysis& analysis) {
  const std::size_t made = analysis.comparisons.size();
  if (made < 2) return "";
  std::vector<std::string> stand;
  for (const Comparison& c : analysis.comparisons) {
    if (c.stands) stand.push_back(analysis.sizes.size() > 1 ? fmt::format("{} at {}", c.arm, c.size) : c.arm);
  }
  const std::string level = fmt::format("{:g} %", std::round(1e4 * (1 - analysis.options.level)) / 100);
  if (stand.empty()) {
    return fmt::format(
        "{} comparisons were made; of shifts up or down none stands at {} for all together "
        "(Holm's correction).",
        made, level);
  }
  const std::string which = stand.size() == made
                                ? std::string("every shift stands")
                                : fmt::format("the shift of {} stands, no other", fmt::join(stand, ", of "));
  return fmt::format("{} comparisons were made; at {} for all together (Holm's correction) {}.", made, level,
                     which);
}

std::vector<std::string> verdict(const Analysis& analysis) {
  std::vector<std::string> sentences;
  if (!analysis.no_baseline.empty())
    sentences.push_back("Nothing is compared: " + analysis.no_baseline + ".");
  for (const Comparison& c : analysis.comparisons) {
    Finding f = finding(analysis, c);
    sentences.push_back(std::move(f.headline));
    if (!f.details.empty()) sentences.push_back(std::move(f.details));
  }
  if (std::string number = number_of_comparisons(analysis); !number.empty())
    sentences.push_back(std::move(number));
  if (!analysis.comparisons.empty()) return sentences;
  for (const Curve& c : analysis.curves) sentences.push_back(at_size(analysis, c.size) + alone(c));
  if (sentences.empty()) return {"There are no cells."};
  return sentences;
}

}  // namespace evenkeel::analysis
