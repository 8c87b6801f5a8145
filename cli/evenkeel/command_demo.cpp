// evenkeel demo: the main job on an embedded study, within a few minutes.
//
// Cells run in groups: the first seed of the first size, its second seed, then the second size. When the
// measured time of a cell says that a group does not fit into what is left of the time, that group and those
// after it are left out, so sizes go first, then seeds; steps never do.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "cli/evenkeel/commands.h"
#include "cli/evenkeel/sweep_session.h"

namespace evenkeel::cli {
namespace {

constexpr const char* kStudy = R"([study]
title = "Does qk-norm move the learning rate at which training breaks?"
question = "At which peak learning rate does a small decoder Transformer stop training well, without and with LayerNorm of queries and keys?"
expectation = "With qk-norm the boundary learning rate lies at least half a decade higher (arXiv 2309.14322, section 3.1.1): attention logits stay small, so attention does not collapse."
criterion = "Boundary learning rate of both arms with its interval, and the seeds that agree. A demonstration: two seeds carry no verdict of a study."
cost = "Up to 32 cells of 300 steps; three minutes on two cores."

[train]
steps = 300
batch = 16
precision = "fp32"

[arch]
context = 128

[optim]
warmup = "40step"

[sweep]
"optim.lr" = [0.03, 0.1, 0.3, 1.0]
"interventions.qk_norm" = ["off", "per_head"]
"train.seed" = [11, 12]
"arch.size" = ["d64", "d32"]
)";

constexpr const char* kExamples =
    "Examples:\n"
    "  evenkeel demo\n"
    "  evenkeel demo --minutes 10 --out runs/demo10\n"
    "The same command again goes on, and adds what time had no room for.";

struct Group {
  std::string size;
  std::int64_t seed = 0;
  bool operator==(const Group&) const = default;
};

Group group_of(const sweep::CellEntry& cell) {
  return {cell.size, cell.seed};
}

// Leaves out what does not fit, from the last group backwards.
class TimeKeeper {
 public:
  explicit TimeKeeper(double budget_s) : budget_s_(budget_s) {}

  void arrange(sweep::Plan& plan) {
    const std::string first = plan.cells.front().experiment.arch.size.value_or("");
    std::stable_sort(plan.cells.begin(), plan.cells.end(), [&](const sweep::Cell& a, const sweep::Cell& b) {
      return (a.experiment.arch.size == first) > (b.experiment.arch.size == first);
    });
  }

  void look(sweep::Scheduler& now, sweep::SweepFile& file, Progress& progress) {
    if (now.whole_cells() == measured_ || now.stopping()) return;
    measured_ = now.whole_cells();
    list_groups(file);
    const std::size_t before = left_out_.size();
    for (std::size_t last = groups_.size(); last-- > 1 && expected_s(now, file, last + 1) > budget_s_;) {
      if (!leave_out(groups_[last], now, file)) break;
    }
    if (left_out_.size() > before) {
      // One note in the end, however often something is left out.
      if (before > 0) file.notes.pop_back();
      file.notes.push_back(fmt::format(
          "Left out to end within {} (a cell takes {} here): {}. The same command again adds "
          "what is missing.",
          duration_text(budget_s_), duration_text(now.whole_cell_s()), fmt::join(left_out_, ", ")));
      progress.say(file.notes.back());
    }
    if (!warned_ && expected_s(now, file, 1) > budget_s_) {
      warned_ = true;
      progress.say(fmt::format("a cell takes {} here, so the smallest demo takes about {}: going on",
                               duration_text(now.whole_cell_s()), duration_text(expected_s(now, file, 1))));
    }
  }

 private:
  void list_groups(const sweep::SweepFile& file) {
    if (!groups_.empty()) return;
    for (const sweep::CellEntry& cell : file.cells) {
      if (groups_.empty() || !(groups_.back() == group_of(cell))) groups_.push_back(group_of(cell));
    }
  }

  bool in_first(std::size_t groups, const sweep::CellEntry& cell) const {
    const auto end = groups_.begin() + static_cast<std::ptrdiff_t>(groups);
    return std::find(groups_.begin(), end, group_of(cell)) != end;
  }

  // When the first `groups` groups would be done. A smaller cell is counted as long as the ones measured.
  double expected_s(const sweep::Scheduler& now, const sweep::SweepFile& file, std::size_t groups) const {
    double cells = 0;
    for (const sweep::CellEntry& cell : file.cells) {
      if (cell.state == sweep::CellState::kPending && !cell.dropped && in_first(groups, cell)) ++cells;
    }
    const double waves = std::ceil(cells / now.jobs());
    double longest = 0;
    for (const sweep::Running& child : now.running()) {
      const auto steps = static_cast<double>(now.plan().cells[child.cell].experiment.train.steps);
      longest = std::max(longest, 1 - static_cast<double>(child.step) / steps);
    }
    return now.elapsed_s() + (waves + longest) * now.whole_cell_s();
  }

  // False when the group has begun: then it is finished, and so are those before it.
  bool leave_out(const Group& group, sweep::Scheduler& now, const sweep::SweepFile& file) {
    const auto begun = [&](const sweep::CellEntry& cell) {
      return group_of(cell) == group && !cell.dropped && cell.state != sweep::CellState::kPending;
    };
    if (std::any_of(file.cells.begin(), file.cells.end(), begun)) return false;
    for (std::size_t i = 0; i < file.cells.size(); ++i) {
      if (group_of(file.cells[i]) == group) now.drop(i);
    }
    const std::string name = fmt::format("{} seed {}", group.size, group.seed);
    if (std::find(left_out_.begin(), left_out_.end(), name) == left_out_.end()) left_out_.push_back(name);
    return true;
  }

  double budget_s_;
  std::vector<Group> groups_;
  std::vector<std::string> left_out_;
  int measured_ = 0;
  bool warned_ = false;
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
  struct Arguments {
    std::string out = "runs/demo";
    int jobs = 0;
    double minutes = 3;
    bool json = false;
  };
  auto given = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("demo", "Learning rate x qk-norm on a built-in language, in minutes");
  command->footer(kExamples);
  command->add_option("--out", given->out, "Folder of the sweep")->type_name("DIR")->capture_default_str();
  command->add_option("--jobs", given->jobs, "Cells at a time. Without it: one per usable core")
      ->type_name("N")
      ->check(CLI::Range(1, 4096));
  command->add_option("--minutes", given->minutes, "Time to fit into, by leaving out sizes, then seeds")
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
    request.arrange = [&](sweep::Plan& plan) { time.arrange(plan); };
    request.on_tick = [&](sweep::Scheduler& now, sweep::SweepFile& file, Progress& progress) {
      time.look(now, file, progress);
    };
    request.last_words = last_words(given->out);
    exit_code = run_sweep(request);
  });
}

}  // namespace evenkeel::cli
