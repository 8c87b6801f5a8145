// The words of this report and where they come from, with the constants that were used.
import { h } from "../dom";
import { short } from "../format";
import type { Report } from "../types";

export function definitions(report: Report): HTMLElement {
  const k = report.analysis.constants;
  const percent = `${Math.round(100 * k.interval_level)} %`;
  const entries: [string, string][] = [
    ["cell, arm, size", "A cell is one training run. Its arm is its set of interventions; its size is a rung of a named ladder; learning rate and seed complete it. N counts the weights of the blocks' matrices, 12 L D² for a decoder, without embedding and head."],
    ["l₀, H₁, floor", `l₀ is the validation loss before training: the baseline arm's, averaged over seeds, one value per size. H₁ is the unigram entropy of the validation stream, what a model reaches that knows only how often each token occurs. The floor is the entropy rate of the source, where it is known.`],
    ["not finite", "The loss or the gradient norm became NaN or infinite. It ends the run and is a result, not an error."],
    ["not learned", `Finished with a validation loss of at least H₁ − ${k.not_learned_margin}.`],
    ["degraded", `At an LR above the arm's best one at that size, with a final loss above best + ${k.degraded_share} · (l₀ − best).`],
    ["unstable", "At an LR above the best one: not finite, not learned or degraded."],
    ["spike, collapse", `Spike: a training loss above the median of the last ${k.spike.window} values of ln loss by ${k.spike.deviations} robust deviations; recovered within ${k.spike.recovered}. Collapse: mean H / ln n below ${k.collapse.entropy_norm} in every layer in ${k.collapse.records} successive records.`],
    ["relapsed", "The validation loss, or the trend of the training loss (median of the last 64 values of ln loss), rose by more than 0.07 · (l₀ − best so far), and by more than 0.05 nat and the noise, above its best so far and stayed there to the end. Told beside the outcome."],
    ["boundary LR", `Where the probability that a cell is unstable is one half, in a logistic fit against log LR over all seeds of an arm and size; penalised after Firth (1993) when stable and unstable cells separate perfectly. The interval holds every value that a likelihood-ratio test does not reject at ${percent}. When no cell is unstable the boundary is only known to lie above the largest LR. It is the primary outcome of a comparison.`],
    ["stable up to", "The largest swept LR below the first one with an unstable cell."],
    ["well trained from, stable range", `The smallest swept LR from which up to the best one no mean loss exceeds best + ${k.degraded_share} · (l₀ − best). The stable range goes from there to the boundary LR; its width in decades compares arms for which a learning rate means different things.`],
    ["seeds agree", "Each seed judged alone: its instability begins at a larger LR than in the baseline arm."],
    ["LR sensitivity S", `Mean over the learning rates of a window of min(l, l₀) − l*, with l* = min(best l, l₀); runs that are not finite count as l₀; unweighted (Wortsman et al. 2023, arXiv 2309.14322, §2.1). The paper's window is the 1-3 series from ${short(k.window[0])} to ${short(k.window[1])}; for runs of another length it is multiplied by √(${short(k.window_steps)} / steps), because under independent weight decay 10/steps the equilibrium size of weights scales so. A number with more than half of it below the best LR is marked: the small learning rates were undertrained, and no verdict rests on it. S over the swept LRs themselves compares arms within this sweep only.`],
    ["intervals", `${percent}. Losses are averaged over seeds first; Student t below ${k.bootstrap_from_seeds} seeds, a bootstrap over seeds from there on. Differences between arms are paired by seed.`],
    ["attention logit", "q·k after scaling and before the softmax, over visible positions only; the largest over layers and heads. Logits grow before training breaks; in the paper every run with one above 10⁴ diverged."],
    ["entropy", "Entropy H of an attention row in nats, over rows with at least two visible keys, averaged over a head and then over the heads of a layer; the smallest layer is drawn. H / ln n is 1 for uniform attention and 0 for one key."],
    ["σ(W_Q W_Kᵀ)", "Largest singular value of a head's query matrix times its key matrix, as in use and without 1/√K; the largest over layers and heads. It limits the attention logits, and with them how low entropy can fall (Zhai et al. 2023, theorem 3.1), except where queries and keys are normed after the product (qk-norm)."],
  ];
  const sources = [
    "Wortsman et al. 2023, Small-scale proxies for large-scale Transformer training instabilities, arXiv 2309.14322.",
    "Zhai et al. 2023, Stabilizing Transformer training by preventing attention entropy collapse, arXiv 2303.06296.",
    "Dehghani et al. 2023, Scaling vision transformers to 22 billion parameters, arXiv 2302.05442 (query-key normalisation).",
    "Firth 1993, Bias reduction of maximum likelihood estimates, Biometrika 80.",
  ];
  return h("div", {}, h("dl", { class: "terms" }, ...entries.flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, text)])),
    h("h3", {}, "Sources"), h("ul", {}, ...sources.map((s) => h("li", {}, s))));
}
