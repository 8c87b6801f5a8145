// evenkeel demo: the main job on an embedded study, within a few minutes.
//
// Cells of the grid run seed by seed; then rounds of refinement halve each seed's bracket of the boundary LR.
// When the measured time of a cell says that all of it does not fit into the time given, the last seeds are
// left out (never the first two), then the last rounds; steps never are. The study is sized so that a
// processor with AVX2 alone has time for all of it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <set>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/sweep_session.h"

namespace evenkeel::cli {
namespace {

constexpr const char* kStudy = R"([study]
title = "Does qk-norm move the learning rate at which training breaks?"
question = "At which peak learning rate does a small decoder Transformer stop training well, without and with LayerNorm of queries and keys?"
expectation = "With qk-norm the boundary learning rate lies at least half a decade higher (arXiv 2309.14322, section 3.1.1): attention logits stay small, so attention does not collapse."
criterion = "Shift of the boundary learning rate, paired by seed, with its 95 % interval. A demonstration: a few seeds of one size carry no verdict of a study."
cost = "24 runs of 200 steps and 12 that narrow the answer; at most three minutes on two cores."
refine = 2

[arch]
size = "d64"
context = 64

[train]
steps = 200
batch = 16
precision = "fp32"
eval_every = "200step"

[optim]
warmup = "30step"

[data]
valid_tokens = 16384

[sweep]
"optim.lr" = [0.03, 0.1, 0.3, 1.0]
"interventions.qk_norm" = ["off", "per_head"]
"train.seed" = [11, 12, 13]
)";

constexpr const char* kDemoExamples =
    "Examples:\n"
    "  evenkeel demo\n"
    "  evenkeel demo --minutes 10 --out runs/demo10\n"
    "The same command again goes on, and adds what time had no room for.";

/// Seeds and rounds of refinement, from the most that can be said to the least.
struct Extent {
  int seeds, rounds;
};
constexpr std::array kExtents{Extent{3, 2}, Extent{3, 1}, Extent{2, 2}, Extent{2, 1}, Extent{2, 0}};

/// Leaves out what does not fit into the time.
class TimeKeeper {
 public:
  explicit TimeKeeper(double budget_s) : budget_s_(budget_s) {}

  /// After every cell of the grid: drops seeds that time has no room for.
  void look(sweep::Scheduler& now, sweep::SweepFile& file, Progress& progress) {
    if (now.whole_cells() == measured_ || now.stopping()) return;
    measured_ = now.whole_cells();
    cell_s_ = now.whole_cell_s();
    if (refining_) return;
    list_seeds(file);
    std::size_t best = 0;
    while (best + 1 < kExtents.size() && expected_s(now, file, kExtents[best]) > budget_s_) ++best;
    const std::size_t before = left_out_.size();
    while (std::ssize(seeds_) > kExtents[best].seeds && leave_out(seeds_.back(), now, file)) {
      left_out_.push_back(seeds_.back());
      seeds_.pop_back();
    }
    if (left_out_.size() > before) {
      // One note in the end, however often something is left out.
      if (before > 0) file.notes.pop_back();
      file.notes.push_back(note("seed " + fmt::format("{}", fmt::join(left_out_, ", "))));
      progress.say(file.notes.back());
    }
    if (!warned_ && expected_s(now, file, kExtents.back()) > budget_s_) {
      warned_ = true;
      progress.say(fmt::format("a cell takes {} here, so the smallest demo takes about {}: going on",
                               duration_text(cell_s_),
                               duration_text(expected_s(now, file, kExtents.back()))));
    }
  }

  /// Before a round of refinement.
  bool has_room(std::size_t cells, int jobs, sweep::SweepFile& file) {
    refining_ = true;
    measured_ = 0;
    const double waves = std::ceil(static_cast<double>(cells) / jobs);
    if (cell_s_ == 0 || elapsed_s() + waves * cell_s_ <= budget_s_) return true;
    file.notes.push_back(note("the last rounds of refinement"));
    return false;
  }

 private:
  std::string note(const std::string& what) const {
    return fmt::format(
        "Left out to end within {} (a cell takes {} here): {}. The same command again adds "
        "what is missing.",
        duration_text(budget_s_), duration_text(cell_s_), what);
  }

  double elapsed_s() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

  void list_seeds(const sweep::SweepFile& file) {
    if (!seeds_.empty()) return;
    for (const sweep::CellEntry& cell : file.cells) {
      if (seeds_.empty() || seeds_.back() != cell.seed) seeds_.push_back(cell.seed);
    }
  }

  /// When grid and rounds of that extent would be done.
  double expected_s(const sweep::Scheduler& now, const sweep::SweepFile& file, const Extent& extent) const {
    const auto kept = std::min(seeds_.size(), static_cast<std::size_t>(extent.seeds));
    double pending = 0;
    std::set<std::string> arms;
    for (const sweep::CellEntry& cell : file.cells) {
      const auto end = seeds_.begin() + static_cast<std::ptrdiff_t>(kept);
      arms.insert(cell.arm);
      if (cell.state == sweep::CellState::kPending && !cell.dropped &&
          std::find(seeds_.begin(), end, cell.seed) != end)
        ++pending;
    }
    double longest = 0;  // share of a cell that the slowest running one still needs
    for (const sweep::Running& child : now.running()) {
      const auto steps = static_cast<double>(now.plan().cells[child.cell].experiment.train.steps);
      longest = std::max(longest, 1 - static_cast<double>(child.step) / steps);
    }
    const auto waves = [&](double cells) { return std::ceil(cells / now.jobs()); };
    const double round = waves(static_cast<double>(arms.size() * kept));
    return elapsed_s() + (longest + waves(pending) + extent.rounds * round) * cell_s_;
  }

  /// False when the seed has begun: then it is finished.
  bool leave_out(std::int64_t seed, sweep::Scheduler& now, const sweep::SweepFile& file) {
    const auto begun = [&](const sweep::CellEntry& cell) {
      return cell.seed == seed && !cell.dropped && cell.state != sweep::CellState::kPending;
    };
    if (std::any_of(file.cells.begin(), file.cells.end(), begun)) return false;
    for (std::size_t i = 0; i < file.cells.size(); ++i) {
      if (file.cells[i].seed == seed) now.drop(i);
    }
    return true;
  }

  double budget_s_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::vector<std::int64_t> seeds_, left_out_;
  double cell_s_ = 0;  // measured; 0: not yet
  int measured_ = 0;
  bool warned_ = false, refining_ = false;
};

std::string last_words(const std::string& out) {
  return fmt::format(
      "Next:\n"
      "  evenkeel ls {0}         the runs; `evenkeel show` shows one\n"
      "  evenkeel analyze {0}    the numbers behind the verdict\n"
      "The same question on your own text:\n"
      "  evenkeel sweep studies/qk_norm_text/study.toml \\\n"
      "    --set data.path=my_text.txt --out runs/text",
      out);
}

}  // namespace

void add_demo(CLI::App& app, int& exit_code) {
  struct DemoArguments {
    std::string out = "runs/demo";
    int jobs = 0;
    double minutes = 3;
    bool json = false;
  };
  auto given = std::make_shared<DemoArguments>();
  CLI::App* command =
      app.add_subcommand("demo", "Learning rate x qk-norm on a built-in language, in minutes");
  command->footer(kDemoExamples);
  command->add_option("--out", given->out, "Folder of the sweep")->type_name("DIR")->capture_default_str();
  command->add_option("--jobs", given->jobs, "Cells at a time. Without it: one per usable core")
      ->type_name("N")
      ->check(CLI::Range(1, 4096));
  command
      ->add_option("--minutes", given->minutes,
                   "Time to fit into, by leaving out seeds, then rounds of refinement")
      ->type_name("MINUTES")
      ->check(CLI::Range(0.01, 1e5))
      ->capture_default_str();
  add_json_flag(*command, given->json);
  command->callback([given, &exit_code] {
    TimeKeeper time(given->minutes * 60);
    SweepRequest request;
    request.spec = sweep_from(settings_from_toml_text(kStudy, "demo", {"sweep"}), {});
    request.out = given->out;
    request.jobs = given->jobs;
    request.json = given->json;
    request.on_tick = [&](sweep::Scheduler& now, sweep::SweepFile& file, Progress& progress) {
      time.look(now, file, progress);
    };
    request.has_room = [&](std::size_t cells, int jobs, sweep::SweepFile& file) {
      return time.has_room(cells, jobs, file);
    };
    request.last_words = last_words(given->out);
    exit_code = run_sweep(request);
  });
}

}  // namespace evenkeel::cli
