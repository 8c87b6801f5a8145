// The report: reads the document inside the page and builds it from top to bottom.
import { heatMap } from "./charts/heatmap";
import { lossOverSteps } from "./charts/loss_steps";
import { lossVsLr } from "./charts/loss_vs_lr";
import { sensitivity } from "./charts/sensitivity";
import { smallMultiples, type Quantity } from "./charts/small_multiples";
import { h, section } from "./dom";
import { num } from "./format";
import { Palette } from "./palette";
import { cellTable } from "./sections/cells";
import { configuration } from "./sections/config";
import { definitions } from "./sections/definitions";
import { colophon, limits } from "./sections/limits";
import { keyNumbers, lossChanges } from "./sections/numbers";
import { verdict } from "./sections/verdict";
import type { Report } from "./types";

const report = JSON.parse(document.getElementById("data")!.textContent!) as Report;
const page = document.getElementById("report")!;
const palette = new Palette(report.analysis.arms);

const logits: Quantity = {
  name: "Largest attention logit",
  axis: "↑ logit (log axis)",
  pick: (c) => c.logit,
  log: true,
  reference: { y: 1e4, text: "10⁴" },
  summary: { name: "largest", of: (c) => num(c.logit_peak) },
};
const entropy: Quantity = {
  name: "Smallest layer entropy",
  axis: "↑ entropy (nat)",
  pick: (c) => c.entropy,
  log: false,
  summary: { name: "smallest (nat)", of: (c) => num(c.entropy_low) },
};
const product: Quantity = {
  name: "Largest σ(W_Q W_Kᵀ) of a head",
  axis: "↑ spectral norm (log axis)",
  pick: (c) => c.qk_sigma,
  log: true,
  summary: { name: "largest", of: (c) => num(c.qk_sigma_peak) },
};

function header(): HTMLElement {
  const { study } = report;
  return h("header", {}, h("p", { class: "eyebrow" }, "evenkeel stability report"), h("h1", {}, report.title),
    study.question ? h("p", { class: "question" }, study.question) : null,
    study.expectation ? h("p", { class: "expectation" }, h("strong", {}, "Expected beforehand: "), study.expectation) : null);
}

function attention(): HTMLElement | null {
  const panels = report.analysis.sizes.flatMap((size) =>
    [logits, entropy, product].map((q) => smallMultiples(report, palette, size, q)).filter((p) => p !== null),
  );
  if (panels.length === 0) return null;
  return section("attention", "Inside: attention logits and entropy",
    "One known way in which training breaks: attention logits grow until each query looks at a single key, entropy collapses and gradients vanish (Wortsman et al. 2023, Zhai et al. 2023). Here is whether it happened.",
    palette.legend(), ...panels);
}

const absent = (what: string): HTMLElement => h("p", { class: "note" }, `These runs recorded no ${what}.`);

page.replaceChildren(
  header(),
  verdict(report),
  section("numbers", "Key numbers", null, keyNumbers(report)),
  section("loss", "Final loss against learning rate", null, lossVsLr(report, palette), lossChanges(report)),
  section("sensitivity", "LR sensitivity", "How much loss is left on the table, on average, when the learning rate is not the best one.", sensitivity(report, palette)),
  attention() ?? section("attention", "Inside: attention logits and entropy", null, absent("attention statistics")),
  section("training", "Loss over steps", null, lossOverSteps(report, palette) ?? absent("loss curves")),
  section("heads", "Heads at the end of a run", null, heatMap(report) ?? absent("heads")),
  section("cells", "All cells", null, cellTable(report)),
  section("config", "Configuration", null, configuration(report)),
  section("definitions", "Definitions", null, definitions(report)),
  section("limits", "What this cannot tell you", null, limits(report)),
  colophon(report),
);
