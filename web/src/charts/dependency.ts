// Shares of the branches in the stream, one triangle per stack: row i is the stream after sub-layer i, column 0 the
// embedding, column j branch j.
import * as Plot from "@observablehq/plot";
import { choose, figure, h, responsive, table } from "../dom";
import { num, short } from "../format";
import type { Probed } from "../sections/probes";

interface Share {
  row: number;
  column: number;
  share: number;
  what: string;
}

// More triangles than these at once are no comparison any more.
const together = 6;

export function dependency(all: Probed<"dependency">[]): HTMLElement {
  const shares = all.map(({ stack }): Share[] =>
    stack.sublayers.flatMap((s, i) => s.beta.map((beta, j) => ({
      row: i + 1, column: j, share: num(beta), what: `of ${j === 0 ? "the embedding" : stack.sublayers[j - 1]!.site} in the stream after ${s.site}`,
    }))),
  );
  const usable = (s: Share): boolean => Number.isFinite(s.share);
  const top = Math.max(1e-9, ...shares.flat().filter((s) => usable(s) && s.column > 0).map((s) => s.share));
  const place = h("div", { class: "panels" });
  const show = (chosen: number[]): void => place.replaceChildren(...chosen.map((k) => panel(all[k]!, shares[k]!, usable, top)));
  show(all.map((_, k) => k).slice(0, together));
  const controls = all.length <= together ? null : h("div", { class: "controls" },
    choose("Model", [{ value: "", text: `the first ${together}` }, ...all.map((p, k) => ({ value: String(k), text: p.name }))], "",
      (v) => show(v === "" ? all.map((_, k) => k).slice(0, together) : [Number(v)])));
  const legend = Plot.legend({ color: { type: "linear", scheme: "viridis", domain: [0, top] }, label: "β: share of a branch, as a standard deviation", width: 280, marginLeft: 12, marginRight: 12 });
  return h("div", {}, controls, h("div", { class: "chart ramp" }, legend), place);
}

function panel({ name, stack }: Probed<"dependency">, shares: Share[], usable: (s: Share) => boolean, top: number): HTMLElement {
  const n = stack.sublayers.length;
  const step = Math.max(1, Math.ceil((n + 1) / 12));
  const ticks = [...Array(n + 1).keys()].filter((i) => i % step === 0);
  const draw = (width: number): Element => {
    const side = Math.min(width, 420), room = n <= 12 && side > 330;
    return Plot.plot({
      width: side,
      height: side,
      marginLeft: 46,
      marginBottom: 40,
      marginTop: 22,
      marginRight: 8,
      style: { background: "none", fontSize: "12px" },
      x: { type: "band", domain: [...Array(n + 1).keys()], label: "branch (0: embedding) →", labelOffset: 34, ticks, tickFormat: String, padding: 0, round: false },
      y: { type: "band", domain: [...Array(n).keys()].map((i) => i + 1), label: "after sub-layer", ticks: ticks.filter((i) => i > 0), tickFormat: String, padding: 0, round: false },
      // What is left of the embedding may be all of the stream: it takes the last colour there.
      color: { type: "linear", scheme: "viridis", domain: [0, top], clamp: true },
      marks: [
        Plot.cell(shares, { x: "column", y: "row", fill: "var(--line)" }),
        Plot.cell(shares.filter(usable), { x: "column", y: "row", fill: "share", inset: n > 40 ? 0 : 0.5, title: (s: Share) => `β = ${short(s.share)} ${s.what}`, tip: false }),
        ...(room ? [Plot.text(shares, { x: "column", y: "row", text: (s: Share) => (usable(s) ? s.share.toFixed(2).replace(/^0/, "") : "NaN"), fontSize: 10, fill: (s: Share) => (s.share / top > 0.55 ? "#111" : "#fff") })] : []),
      ],
    });
  };
  const data = table(
    `Shares after the last sub-layer and on the diagonal: ${name}`,
    [
      { name: "sub-layer", text: (s) => s.site },
      { name: "own branch, just added", text: (s) => short(num(s.beta.at(-1))), value: (s) => num(s.beta.at(-1)) },
      { name: "its branch, in the output", text: (s) => short(num(stack.sublayers[n - 1]!.beta[stack.sublayers.indexOf(s) + 1])), value: (s) => num(stack.sublayers[n - 1]!.beta[stack.sublayers.indexOf(s) + 1]) },
      { name: "dependency", text: (s) => (s.dependency === null ? "–" : short(num(s.dependency))), value: (s) => num(s.dependency) },
    ],
    stack.sublayers,
  );
  return h("div", { class: "panel" }, h("h4", {}, name),
    figure(`Shares of ${n} branches and the embedding in the stream, ${name}.`, "", responsive(draw), data));
}
