// What probes of residual sub-layers said: shares of the branches, output change, gradients over depth.
import { dependency } from "../charts/dependency";
import { overDepth, type Curve } from "../charts/over_depth";
import { section } from "../dom";
import { num, short } from "../format";
import { Palette } from "../palette";
import type { Answer } from "../types";

type Kind = "dependency" | "output-change" | "gradients";

/** One stack of one model; `name` tells it from the others that are drawn with it. */
export interface Probed<K extends Kind> {
  name: string;
  stack: NonNullable<Answer[K]>["stacks"][number];
  of: NonNullable<Answer[K]>;
}

/** Names of as many parts as tell them apart: always the scheme, and those in which not all of them agree. */
function probed<K extends Kind>(answers: Answer[], kind: K): Probed<K>[] {
  const rows = answers.flatMap((a) => {
    const of = a[kind];
    if (!of) return [];
    return of.stacks.map((stack) => ({
      of: of as NonNullable<Answer[K]>,
      stack: stack as Probed<K>["stack"],
      parts: [of.scheme, stack.stack === "blocks" ? "" : stack.stack.replace(/\.(layers|blocks)$/, ""),
        a.run === null ? "" : a.run.replace(/\/+$/, "").split("/").pop()!.slice(0, 24), a.step === 0 ? "at initialisation" : `step ${a.step}`],
      more: [`${stack.sublayers.length} sub-layers`, a.config_hash.slice(0, 6)],
    }));
  });
  const varies = (i: number): boolean => new Set(rows.map((row) => row.parts[i])).size > 1;
  let names = rows.map((row) => row.parts.filter((part, i) => part !== "" && (i === 0 || varies(i))).join(", "));
  for (const k of [0, 1]) names = names.map((name, i) => (names.filter((other) => other === name).length > 1 ? `${name}, ${rows[i]!.more[k]}` : name));
  // The same model asked twice is drawn twice, under two names.
  return rows.map((row, i) => {
    const before = names.slice(0, i).filter((name) => name === names[i]).length;
    return { of: row.of, stack: row.stack, name: before > 0 ? `${names[i]} (${before + 1})` : names[i]! };
  });
}

function change(answers: Answer[]): HTMLElement | null {
  const all = probed(answers, "output-change");
  if (all.length === 0) return null;
  const curves: Curve[] = all.map(({ name, stack }) => ({
    name,
    points: stack.sublayers.map((s, i) => ({ n: i + 1, site: s.site, value: num(s.change), spread: num(s.std) })),
  }));
  const seeds = Math.max(...all.map(({ of }) => of.seeds));
  const moved = [...new Set(all.map(({ of }) => `${of.change === "gradient" ? "against the sign of the gradient" : "by a random sign"} times ${short(num(of.size))}`))].join(", or ");
  return section("output-change", "Change of the output over depth",
    "Matrices move a little; how far does what the stack computes move? Linear in the number of sub-layers N for post_ln, about as ln N where branches weigh less with depth (Liu et al. 2020).",
    overDepth(curves, new Palette(curves.map((c) => c.name)), {
      name: "Change of the normed stream", axis: "↑ change (log axis)", value: "change", logX: true,
      caption: `Mean squared change of the stream after N sub-layers, each token normed, when every value of every matrix inside the blocks moves ${moved}.${seeds > 1 ? ` Means of up to ${seeds} changes; the band is one standard deviation.` : ""}`,
    }));
}

function gradients(answers: Answer[]): HTMLElement | null {
  const all = probed(answers, "gradients");
  if (all.length === 0) return null;
  const curves: Curve[] = all.map(({ name, stack }) => ({
    name,
    points: stack.sublayers.map((s, i) => ({ n: i + 1, site: s.site, value: num(s.at_sum), spread: NaN })),
  }));
  return section("gradients", "Gradients over depth",
    "What reaches each sub-layer of the loss. A curve that falls towards the input vanishes; in a post_ln decoder it does, at the attention to the encoder's output (Liu et al. 2020).",
    overDepth(curves, new Palette(curves.map((c) => c.name)), {
      name: "Gradient of the loss at each sub-layer's sum", axis: "↑ root mean square (log axis)", value: "gradient", logX: false,
      caption: "Root mean square of the gradient of the training loss with respect to the sum that sub-layer N makes, shortcut plus branch. The output is on the right.",
    }));
}

/** One section per probe that answered. */
export function probes(answers: Answer[]): HTMLElement[] {
  const shares = probed(answers, "dependency");
  const sections = [
    shares.length === 0 ? null : section("dependency", "What the stream is made of",
      "The stream after sub-layer i, as shares of the embedding and of every branch so far. A heavy diagonal means that the output hangs on the newest branches: light at the start trains stably, heavy after training is where the quality comes from (Liu et al. 2020).",
      dependency(shares)),
    change(answers),
    gradients(answers),
  ];
  return sections.filter((s): s is HTMLElement => s !== null);
}
