#include "evenkeel/reference/pages.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "evenkeel/base/error.h"
#include "evenkeel/base/files.h"
#include "evenkeel/reference/tables.h"
#include "evenkeel/spec/experiment.h"
#include "evenkeel/spec/sweep.h"
#include "evenkeel/telemetry/metric_table.h"

namespace evenkeel::reference {
namespace {

using telemetry::Metric;

/// Opens every page; what begins otherwise is not ours.
constexpr std::string_view kOpening = "<!-- Made by `evenkeel config reference`. Do not edit: ";

std::string opening() {
  return fmt::format(
      "{}change evenkeel/reference/ or the declaration of the field or metric, and make it anew. -->\n",
      kOpening);
}

/// Rows under the names that `name_of_row` gives them, both in order of first appearance.
template <class Rows, class Name>
auto grouped(const Rows& rows, Name name_of_row) {
  using Row = std::remove_reference_t<decltype(*rows.begin())>;
  std::vector<std::pair<std::string, std::vector<const Row*>>> groups;
  for (const Row& row : rows) {
    const std::string name = name_of_row(row);
    auto at = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == name; });
    if (at == groups.end()) at = groups.insert(at, {name, {}});
    at->second.push_back(&row);
  }
  return groups;
}

std::vector<std::string> words_of(const char* text) {
  std::istringstream words(text);
  return {std::istream_iterator<std::string>(words), {}};
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Length of the arXiv number, such as 2309.14322 or 1412.6980, that `text` begins with; 0: with none.
std::size_t arxiv_length(std::string_view text) {
  const auto digits = [&](std::size_t from) {
    const auto begin = text.begin() + static_cast<std::ptrdiff_t>(from);
    return static_cast<std::size_t>(std::find_if_not(begin, text.end(), is_digit) - begin);
  };
  if (digits(0) != 4 || text.substr(4, 1) != ".") return 0;
  const std::size_t rest = digits(5);
  return rest == 4 || rest == 5 ? 5 + rest : 0;
}

/// Text that may hold what Markdown would take for markup: code in backticks stays, arXiv numbers become
/// links.
std::string prose(std::string_view text) {
  std::string out;
  bool code = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool inside_number = i > 0 && is_digit(text[i - 1]);
    if (const std::size_t n = code || inside_number ? 0 : arxiv_length(text.substr(i)); n > 0) {
      const std::string_view number = text.substr(i, n), prefix = "arXiv ";
      const bool prefixed = out.ends_with(prefix);
      if (prefixed) out.resize(out.size() - prefix.size());
      out += fmt::format("[{}{}](https://arxiv.org/abs/{})", prefixed ? prefix : "", number, number);
      i += n - 1;
      continue;
    }
    if (c == '`') code = !code;
    if (!code && (c == '*' || c == '<' || c == '|')) out += '\\';
    out += c;
  }
  return out;
}

/// The fragment that GitHub gives a heading.
std::string fragment(std::string_view heading) {
  std::string text;
  for (const char c : heading) {
    const bool letter = (c >= 'a' && c <= 'z') || is_digit(c) || c == '_' || c == '-';
    if (letter) text += c;
    else if (c >= 'A' && c <= 'Z') text += static_cast<char>(c - 'A' + 'a');
    else if (c == ' ') text += '-';
  }
  return text;
}

std::string link(std::string_view text, std::string_view page, std::string_view heading) {
  return fmt::format("[`{}`]({}#{})", text, page, fragment(heading));
}

std::string field_link(const std::string& path) {
  return link(path, "fields.md", path);
}

std::string metric_links(const char* ids) {
  std::vector<std::string> links;
  for (const std::string& id : words_of(ids)) {
    const auto table = telemetry::metric_table();
    if (std::none_of(table.begin(), table.end(), [&](const Metric& m) { return id == m.id; }))
      throw std::logic_error("evenkeel/reference names the metric " + id + ", which is none");
    links.push_back(link(id, "metrics.md", id));
  }
  return fmt::format("{}", fmt::join(links, ", "));
}

const FieldDoc& field_at(const std::vector<FieldDoc>& fields, const std::string& path) {
  const auto it =
      std::find_if(fields.begin(), fields.end(), [&](const FieldDoc& f) { return f.path == path; });
  if (it == fields.end())
    throw std::logic_error("evenkeel/reference names the field " + path + ", which is none");
  return *it;
}

/// The fields that `names` stand for: each a field, or a section and all that is in it.
std::vector<std::string> fields_of(const std::vector<FieldDoc>& fields, const char* names) {
  std::vector<std::string> paths;
  for (const std::string& name : words_of(names)) {
    const std::size_t before = paths.size();
    for (const FieldDoc& field : fields) {
      if (field.path == name || field.path.starts_with(name + ".")) paths.push_back(field.path);
    }
    if (paths.size() == before) field_at(fields, name);
  }
  return paths;
}

std::string field_links(const std::vector<FieldDoc>& fields, const char* names) {
  std::vector<std::string> links;
  for (const std::string& path : fields_of(fields, names)) links.push_back(field_link(path));
  return fmt::format("{}", fmt::join(links, ", "));
}

std::string default_of(const FieldDoc& field) {
  return field.default_value.empty() ? "\"\"" : field.default_value;
}

std::string value_line(const FieldDoc& field) {
  const std::string range = field.range.empty() ? "" : fmt::format(", `{}`", field.range.substr(1));
  return fmt::format("`{}`{}, default `{}`", field.type, range, default_of(field));
}

/// "interventions.sigma" of "interventions.sigma.update".
std::string section_of(const std::string& path) {
  return path.substr(0, path.rfind('.'));
}

std::string name_of(const std::string& path) {
  return path.substr(path.rfind('.') + 1);
}

bool is_treatment(const std::string& path) {
  const auto all = treatments();
  return std::any_of(all.begin(), all.end(), [&](const Treatment& t) { return path == t.field; });
}

std::string code_link(const char* header) {
  return fmt::format("[{0}](../../{0})", header);
}

std::string formula_block(const char* formula) {
  return *formula ? fmt::format("```text\n{}\n```\n\n", formula) : std::string();
}

/// "- **Label:** text" where there is a text.
std::string point(const char* label, const std::string& text) {
  return text.empty() ? std::string() : fmt::format("- **{}:** {}\n", label, text);
}

std::string treatments_page(const std::vector<FieldDoc>& fields) {
  std::string text =
      opening() +
      "# Treatments\n\n"
      "What may be switched on to make training more stable, or, with `kappa`, less. Every one is a field, "
      "so a "
      "study may set or sweep it. In `[interventions]` off is bit-identical to a program without the "
      "treatment.\n\n"
      "Letters: D width, K head width, H heads, L layers; p a parameter, g its gradient, lr the learning "
      "rate of "
      "the step. A cost that is *measured* is the median ratio of paired steps, with over without, at the "
      "configurations S and M of [performance.md](../design/performance.md), which names processor and "
      "precision. Any other says what is computed in addition; it was not timed.\n";
  std::string sections;
  for (const auto& [group, rows] : grouped(treatments(), [](const Treatment& t) { return t.group; })) {
    text +=
        fmt::format("\n**[{}](#{})**\n\n| field | what | cost |\n|---|---|---|\n", group, fragment(group));
    sections += fmt::format("\n## {}\n", group);
    for (const Treatment* t : rows) {
      const FieldDoc& field = field_at(fields, t->field);
      text +=
          fmt::format("| {} | {} | {} |\n", link(t->field, "", t->field), prose(t->title), prose(t->cost));
      sections += fmt::format("\n### `{}`\n\n**{}.** {}\n\n", t->field, prose(t->title), prose(t->effect));
      sections += formula_block(t->formula);
      sections += point("Values", value_line(field) + ". " + prose(field.doc));
      sections += point("Further settings", field_links(fields, t->settings));
      sections += point("Shown by", metric_links(t->metrics));
      sections += point("Cost", prose(t->cost));
      sections += point("Source", prose(t->source));
      sections += point("More", code_link(t->header));
    }
  }
  return text + sections;
}

std::string schemes_page() {
  std::string text =
      opening() +
      "# Residual schemes\n\n"
      "`arch.residual` says how the branches f of a block (attention, MLP) are added and normed. N is "
      "`arch.norm` (`layer_norm`, `rms_norm`); l counts the L layers from 1. What a scheme asks of the start "
      "of "
      "the matrices comes on top of `arch.init`; papers on deep translation models assume `xavier`.\n\n"
      "Constants are those of one stack. In an encoder-decoder they depend on both depths, "
      "[evenkeel/spec/residual.h](../../evenkeel/spec/residual.h) says how, and `arch.decoder_residual` "
      "gives the "
      "decoder a scheme of its own. omega and s count as gains: spared weight decay unless "
      "`optim.decay_gains`. [command_line.md](../guide/command_line.md#residual-schemes) says more of "
      "Admin.\n\n"
      "| `arch.residual` | one sub-layer | start | norm before the head | source |\n|---|---|---|---|---|\n";
  for (const Scheme& s : schemes()) {
    const StackPlan plan = plan_stack(s.scheme, StackShape::alone(4), MatrixInit::kFanIn);
    text += fmt::format("| `{}` | {} | {} | {} | {} |\n", enum_name(s.scheme), prose(s.sublayer),
                        prose(s.start), plan.final_norm ? "yes" : "", prose(s.source));
  }
  return text;
}

std::string optimisers_page(const std::vector<FieldDoc>& fields) {
  std::string text =
      opening() +
      "# Optimisers\n\n"
      "`optim.algorithm` names one. All have `optim.lr` with its schedule and warm-up, `optim.clip_norm` and "
      "`optim.weight_decay` lambda, which spares norm gains and biases unless `optim.decay_gains`, and "
      "gammas "
      "unless `optim.decay_gammas`; see [fields.md](fields.md#optim).\n\n"
      "p is a parameter, g its gradient after clipping, lr the learning rate of the step, t the number of "
      "the "
      "update; b1, b2 and eps are `optim.beta1`, `optim.beta2` and `optim.eps`, mu is `optim.momentum` and c "
      "`optim.trust_coefficient`. The moments are\n\n"
      "```text\nm = b1 m + (1 - b1) g,      mhat = m / (1 - b1^t)\nv = b2 v + (1 - b2) g^2,    vhat = v / (1 "
      "- "
      "b2^t)\n```\n\n"
      "| `optim.algorithm` | weight decay | epsilon | state of a parameter |\n|---|---|---|---|\n";
  std::string sections;
  for (const Optimiser& o : optimisers()) {
    const std::string name(enum_name(o.kind));
    const auto settings = words_of(o.settings);
    const bool has_eps = std::find(settings.begin(), settings.end(), "optim.eps") != settings.end();
    text += fmt::format("| {} | {} | {} | {} |\n", link(name, "", name), prose(o.decay),
                        has_eps ? "yes" : "none", o.state);
    sections += fmt::format("\n## `{}`\n\n**{}.**\n\n", name, prose(o.title)) + formula_block(o.formula);
    sections += point("Weight decay", prose(o.decay));
    sections += point("Settings of its own", field_links(fields, o.settings));
    sections += point("State of a parameter", o.state);
    sections += point("Cost", o.cost);
    sections += point("Source", prose(o.source));
    sections += point("More", code_link(o.header));
  }
  return text + sections;
}

std::string fields_page(const std::vector<FieldDoc>& fields) {
  std::string text =
      opening() +
      "# Fields\n\n"
      "Every setting of an experiment, by its dotted path: `--set optim.lr=0.03`, or `lr = 0.03` under "
      "`[optim]` "
      "in a study's file. A `duration` is a length of training: `\"40step\"`, `\"10Mtok\"`, `\"5%\"`. "
      "`\"auto\"` "
      "leaves the choice to the program, and `evenkeel config check` shows it. Defaults are those of "
      "`decoder_lm`; what `seq2seq` has instead, `arch.family` says. `evenkeel config schema` prints the "
      "same, "
      "with `--json` for programs.\n\n";
  std::string sections;
  for (const auto& [section, rows] : grouped(fields, [](const FieldDoc& f) { return section_of(f.path); })) {
    sections += fmt::format("\n## `{}`\n", section);
    std::vector<std::string> links;
    for (const FieldDoc* f : rows) {
      links.push_back(fmt::format("[{}](#{})", name_of(f->path), fragment(f->path)));
      sections += fmt::format("\n### `{}`\n\n{}\n\n{}\n", f->path, value_line(*f), prose(f->doc));
      if (!f->source.empty()) sections += fmt::format("\nSource: {}\n", prose(f->source));
      if (is_treatment(f->path))
        sections += fmt::format("\nMore: {}\n", link(f->path, "treatments.md", f->path));
      if (!f->hashed) sections += "\nDecides no result, so it is no part of what names a run.\n";
    }
    text += fmt::format("- {}: {}\n", link(section, "", section), fmt::join(links, ", "));
  }
  return text + sections;
}

/// "attn" of "attn/{layer}/entropy".
std::string area_of(const Metric& m) {
  const std::string_view id = m.id;
  return std::string(id.find('/') == std::string_view::npos ? "position" : id.substr(0, id.find('/')));
}

/// "train/ce" of "loss/train/ce", "entropy" of "attn/{layer}/entropy".
std::string short_name(const Metric& m) {
  const std::string_view id = m.id;
  const std::size_t site = id.find('}'), area = id.find('/');
  if (area == std::string_view::npos) return std::string(id);
  return std::string(id.substr((site == std::string_view::npos ? area : site + 1) + 1));
}

std::string place_of(const Metric& m) {
  const std::string text = m.shape == telemetry::MetricShape::kPerHead ? "An array in " : "A number in ";
  const std::string unit = *m.unit ? fmt::format(", unit {}", m.unit) : std::string();
  switch (m.file) {
    case telemetry::LineFile::kMetrics:
      return text + "`metrics.jsonl`" + unit;
    case telemetry::LineFile::kHeads:
      return text + "`heads.jsonl`" + unit;
    default:
      return text + "`metrics.jsonl` and `heads.jsonl`" + unit;
  }
}

/// Links to the treatments whose effect the metric shows.
std::string shown_by(const std::string& id) {
  std::vector<std::string> links;
  for (const Treatment& t : treatments()) {
    const auto ids = words_of(t.metrics);
    if (std::find(ids.begin(), ids.end(), id) != ids.end())
      links.push_back(link(name_of(t.field), "treatments.md", t.field));
  }
  return fmt::format("{}", fmt::join(links, ", "));
}

std::string metrics_page() {
  std::string text =
      opening() +
      "# Metrics\n\n"
      "Every quantity a run records, by its key: area/site/quantity. `{layer}` stands for `layer00`, "
      "`layer01`, "
      "..., of an encoder-decoder for `encoder_layer00`, `decoder_layer00` and `cross_layer00`; "
      "`{parameter}` for "
      "a parameter's dotted name. `metrics.jsonl` has a line every `telemetry.metrics_every` steps, "
      "`heads.jsonl` "
      "every `telemetry.heads_every`, and at the first step and the last. No metric changes a bit of the "
      "training. [run_directory.md](../formats/run_directory.md) describes the files, "
      "`evenkeel config metrics --json` lists the same for programs.\n\n";
  const auto unless_none = [](std::string_view words) {
    return words == "none" ? std::string() : prose(words);
  };
  std::string sections;
  for (const auto& [area, rows] : grouped(telemetry::metric_table(), area_of)) {
    sections += fmt::format("\n## {}\n", area);
    std::vector<std::string> links;
    for (const Metric* m : rows) {
      const std::string id = m->id;
      links.push_back(fmt::format("[{}](#{})", short_name(*m), fragment(id)));
      sections += fmt::format("\n### `{}`\n\n{}\n\n- {}\n", id, prose(m->doc), place_of(*m));
      sections += point("Reduction", unless_none(m->reduction));
      sections += point("Cost", unless_none(m->cost));
      sections += point("Shows the effect of", shown_by(id));
      sections += point("Source", prose(m->source));
    }
    text += fmt::format("- [{}](#{}): {}\n", area, fragment(area), fmt::join(links, ", "));
  }
  return text + sections;
}

std::string index_page() {
  return opening() +
         "# Reference\n\n"
         "What this version knows, made by the program from its own declarations: "
         "`evenkeel config reference --out docs/reference`. The tests compare.\n\n"
         "| page | what it lists |\n|---|---|\n"
         "| [treatments.md](treatments.md) | what makes training stable: formula, values, the metrics that "
         "show "
         "it, cost, source |\n"
         "| [residual_schemes.md](residual_schemes.md) | `arch.residual`: pre-LN, post-LN, Admin and the "
         "others |\n"
         "| [optimisers.md](optimisers.md) | `optim.algorithm`: update, weight decay, settings, state, "
         "source |\n"
         "| [fields.md](fields.md) | every setting: type, range, default, meaning, source |\n"
         "| [metrics.md](metrics.md) | every recorded quantity: unit, reduction, cost, source |\n\n"
         "[paper_and_miniature.md](../guide/paper_and_miniature.md) says where defaults differ from the "
         "paper "
         "they follow, and why.\n";
}

void refuse_foreign(const fs::path& file) {
  std::error_code error;
  if (!fs::exists(file, error)) return;
  if (fs::is_regular_file(file, error) && read_file(file).starts_with(kOpening)) return;
  throw InputError(fmt::format(
      "{} is there and is no page of `evenkeel config reference`, so it is not replaced; move it away, or "
      "choose another --out",
      file.string()));
}

}  // namespace

std::vector<FieldDoc> all_fields() {
  std::vector<FieldDoc> fields = describe<Experiment>();
  for (FieldDoc field : describe<StudySpec>()) {
    field.path = "study." + field.path;
    fields.push_back(field);
  }
  return fields;
}

std::vector<Page> pages() {
  const std::vector<FieldDoc> fields = all_fields();
  return {{"README.md", index_page()},
          {"treatments.md", treatments_page(fields)},
          {"residual_schemes.md", schemes_page()},
          {"optimisers.md", optimisers_page(fields)},
          {"fields.md", fields_page(fields)},
          {"metrics.md", metrics_page()}};
}

std::vector<fs::path> write_pages(const fs::path& folder) {
  const std::vector<Page> all = pages();
  for (const Page& page : all) refuse_foreign(folder / page.file);
  make_folder(folder);
  std::vector<fs::path> files;
  for (const Page& page : all) {
    files.push_back(folder / page.file);
    write_file(files.back(), page.text);
  }
  return files;
}

}  // namespace evenkeel::reference
