// The report: reads the document inside the page, a sweep's with or without probes or probes alone, and builds it from top
// to bottom.
import { againstSize } from "./charts/against_size";
import { brackets } from "./charts/brackets";
import { explore } from "./charts/explore";
import { heatMap } from "./charts/heatmap";
import { lossOverSteps } from "./charts/loss_steps";
import { lossVsLr } from "./charts/loss_vs_lr";
import { sensitivity } from "./charts/sensitivity";
import { smallMultiples, type Quantity } from "./charts/small_multiples";
import { parse } from "./document";
import { h, section } from "./dom";
import { num } from "./format";
import { Palette } from "./palette";
import { cellTable } from "./sections/cells";
import { configuration } from "./sections/config";
import { definitions } from "./sections/definitions";
import { colophon, limits, origin } from "./sections/limits";
import { keyNumbers, lossChanges } from "./sections/numbers";
import { probes } from "./sections/probes";
import { verdict } from "./sections/verdict";
import type { Attention, Cell, Probes, Report } from "./types";

const kinds: Record<string, string> = { encoder: "Encoder", decoder: "Decoder, among its own tokens", cross: "Decoder, to the encoder's output" };

/** What is drawn of the attentions of one kind. */
function quantities(kind: string): Quantity[] {
  const of = (c: Cell): Attention | undefined => c.attention?.find((a) => a.kind === kind);
  const where = kind ? `, ${kind === "cross" ? "cross-attention" : kind}` : "";
  return [
    {
      name: `Largest attention logit${where}`,
      axis: "↑ logit (log axis)",
      pick: (c) => of(c)?.logit,
      log: true,
      reference: { y: 1e4, text: "10⁴" },
      summary: { name: "largest", of: (c) => num(of(c)?.logit_peak) },
    },
    {
      name: `Smallest layer entropy${where}`,
      axis: "↑ entropy (nat)",
      pick: (c) => of(c)?.entropy,
      log: false,
      summary: { name: "smallest (nat)", of: (c) => num(of(c)?.entropy_low) },
    },
    {
      name: `Largest σ(W_Q W_Kᵀ) of a head${where}`,
      axis: "↑ spectral norm (log axis)",
      pick: (c) => of(c)?.qk_sigma,
      log: true,
      summary: { name: "largest", of: (c) => num(of(c)?.qk_sigma_peak) },
    },
  ];
}

const sharpness: Quantity = {
  name: "Sharpness over the edge of stability",
  axis: "↑ ratio (log axis)",
  pick: (c) => c.edge_ratio,
  log: true,
  reference: { y: 1, text: "edge" },
  summary: { name: "largest", of: (c) => num(c.edge_peak) },
};

/** What is drawn of the output logits. */
const outputs: Quantity[] = [
  {
    name: "Mean log Z of the output",
    axis: "↑ log Z (nat)",
    pick: (c) => c.output?.logz,
    log: false,
    summary: { name: "at the end (nat)", of: (c) => num(c.logz_end) },
  },
  {
    name: "Mean output logit",
    axis: "↑ logit",
    pick: (c) => c.output?.mean,
    log: false,
    summary: { name: "at the end", of: (c) => num(c.logit_mean_end) },
  },
];

function output(report: Report, palette: Palette): HTMLElement | null {
  const panels = report.analysis.sizes.flatMap((size) => outputs.map((q) => smallMultiples(report, palette, size, q)).filter((p) => p !== null));
  if (panels.length === 0) return null;
  return section("output", "Output: log Z and mean logit",
    "The other known way: nothing ties the output logits down, so they drift together until bfloat16 is too coarse for them; z-loss and weight decay hold them (Wortsman et al. 2023, section 3.1.2).",
    palette.legend(), ...panels);
}

function header(report: Report | Probes): HTMLElement {
  const study = "study" in report ? report.study : {};
  return h("header", {}, h("p", { class: "eyebrow" }, "evenkeel stability report"), h("h1", {}, report.title),
    study.question ? h("p", { class: "question" }, study.question) : null,
    study.expectation ? h("p", { class: "expectation" }, h("strong", {}, "Expected beforehand: "), study.expectation) : null);
}

function attention(report: Report, palette: Palette): HTMLElement | null {
  const found = [...new Set(report.cells.flatMap((c) => (c.attention ?? []).map((a) => a.kind)))];
  const panels = report.analysis.sizes.flatMap((size) =>
    found.flatMap((kind) => {
      const drawn = quantities(kind).map((q) => smallMultiples(report, palette, size, q)).filter((p) => p !== null);
      return drawn.length > 0 && kind ? [h("h3", {}, kinds[kind] ?? kind), ...drawn] : drawn;
    }),
  );
  if (panels.length === 0) return null;
  panels.push(...report.analysis.sizes.map((size) => smallMultiples(report, palette, size, sharpness)).filter((p) => p !== null));
  return section("attention", "Inside: attention logits and entropy",
    "One known way in which training breaks: attention logits grow until each query looks at a single key, entropy collapses and gradients vanish (Wortsman et al. 2023, Zhai et al. 2023). Here is whether it happened.",
    palette.legend(), ...panels);
}

const optional = (id: string, title: string, lead: string | null, content: HTMLElement | null): HTMLElement[] => (content ? [section(id, title, lead, content)] : []);

const absent = (what: string): HTMLElement => h("p", { class: "note" }, `These runs recorded no ${what}.`);

function sweep(report: Report): HTMLElement[] {
  const palette = new Palette(report.analysis.arms);
  return [
    verdict(report),
    section("numbers", "Key numbers", null, keyNumbers(report)),
    section("boundary", "Where each seed breaks",
      "A sweep shows the learning rate at which a seed's training becomes unstable only up to a bracket. The mean over seeds lies somewhere in the band, however many seeds there are; the whiskers add the spread over seeds.",
      brackets(report, palette) ?? h("p", { class: "note" }, "No arm has a boundary LR: the reasons stand under the key numbers.")),
    section("loss", "Final loss against learning rate", null, lossVsLr(report, palette), lossChanges(report)),
    ...optional("size", "Against model size", "Whether what was found at one size holds at the next: the question that small models are trained for.", againstSize(report, palette)),
    section("sensitivity", "LR sensitivity", "How much loss is left on the table, on average, when the learning rate is not the best one.", sensitivity(report, palette)),
    attention(report, palette) ?? section("attention", "Inside: attention logits and entropy", null, absent("attention statistics")),
    ...[output(report, palette)].filter((s) => s !== null),
    ...optional("explore", "Any outcome against any axis", null, explore(report, palette)),
    section("training", "Loss over steps", null, lossOverSteps(report, palette) ?? absent("loss curves")),
    section("heads", "Heads at the end of a run", null, heatMap(report) ?? absent("heads")),
    ...probes(report.probes),
    section("cells", "All cells", null, cellTable(report)),
    section("config", "Configuration", null, configuration(report)),
    section("definitions", "Definitions", null, definitions(report)),
    section("limits", "What this cannot tell you", null, limits(report)),
    colophon(report),
  ];
}

const page = parse(document.getElementById("data")!.textContent!) as Report | Probes;
const body = "analysis" in page ? sweep(page) : [...probes(page.probes), origin(page)];
document.getElementById("report")!.replaceChildren(header(page), ...body);
