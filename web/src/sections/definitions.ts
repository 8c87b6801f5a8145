// The words of this report and where they come from, with the constants that were used.
import { h } from "../dom";
import { percent as percentOf, short } from "../format";
import type { Report } from "../types";

export function definitions(report: Report): HTMLElement {
  const k = report.analysis.constants;
  const percent = percentOf(k.interval_level), share = percentOf(1 - k.interval_level);
  const entries: [string, string][] = [
    ["cell, arm, size", "A cell is one training run. Its arm is its set of interventions; its size is a rung of a named ladder; learning rate and seed complete it. N counts the weights of the blocks' matrices, 12 L D² for a decoder, without embedding and head."],
    ["l₀, H₁, floor", `l₀ is the validation loss before training: the baseline arm's, averaged over seeds, one value per size. H₁ is the unigram entropy of the validation stream, what a model reaches that knows only how often each token occurs. The floor is the entropy rate of the source, where it is known.`],
    ["not finite", "The loss or the gradient norm became NaN or infinite. It ends the run and is a result, not an error."],
    ["not learned", `Finished with a validation loss of at least H₁ − ${k.not_learned_margin}.`],
    ["degraded", `At an LR above the arm's best one at that size, with a final loss above best + ${k.degraded_share} · (l₀ − best).`],
    ["unstable", "Not finite or relapsed at any LR; not learned or degraded at an LR above the arm's best one. The best LR and the limit come from the grid alone, and runs that narrow brackets do not change them."],
    ["spike, collapse", `Spike: a training loss above the median of the last ${k.spike.window} values of ln loss by ${k.spike.deviations} robust deviations; recovered within ${k.spike.recovered}. Collapse: mean H / ln n below ${k.collapse.entropy_norm} in every layer in ${k.collapse.records} successive records.`],
    ["relapsed", "The validation loss, or the trend of the training loss (median of the last 64 values of ln loss), rose by more than 0.07 · (l₀ − best so far), and by more than 0.05 nat and the noise, above its best so far and stayed there to the end. It stands beside the outcome and makes a cell unstable."],
    ["boundary LR", "The mean over seeds, on a log axis, of the LR at which a seed's training becomes unstable. A seed shows it only up to a bracket: from the largest LR run below its first unstable cell (of the grid or narrowing) to that cell. So the mean lies between the means of the two ends, and these are printed: 0.1–0.3. Seeds that are never unstable make it a bound, ≥. Stable cells above a bracket do not move it; they are counted. An arm of which fewer than half of the seeds learned at its best LR has no boundary. It is the primary outcome of a comparison."],
    ["interval of the boundary", `${percent}. It covers the mean wherever in the brackets the seeds' thresholds lie: the means of both ends, widened by Student's t for the spread of the ends over seeds (Imbens & Manski 2004, Stoye 2009). With 4 seeds or fewer that agree on one bracket the spread counts as that of a uniform distribution over it. It is never narrower than the gap between the learning rates that were tried.`],
    ["shift", `How far the boundary LR of an arm lies from the baseline's, in decades (factors of ten), paired by seed, with an interval by the same rule. "Moves up" is said when the sign test over seeds or the interval says so at ${percent}; "differs by less" only when the whole interval lies within ± ${short(k.margin_decades)} decades, the margin declared by the study; otherwise it is not resolved.`],
    ["surely later, surely earlier", "A seed breaks surely later with the treatment when its whole bracket lies above the baseline's bracket of the same seed, surely earlier when below. Overlapping brackets are undecided and count against either in the sign test. p is two-sided."],
    ["several comparisons", "All comparisons of a report are corrected together (Holm 1979): the chance that any shift stands where there is none is at most " + share + "."],
    ["narrowing, refinement", "After the grid one run per seed and round at the middle of its bracket, which halves it; a seed that was never unstable gets an LR above the grid. Such runs move brackets and nothing else: no best LR, mean or sensitivity."],
    ["headroom", "Decades from the best LR to the middle of the boundary's band."],
    ["effective LR", "Root mean square of an update over that of the weight it changes: median over tensors, then over the records of a run. Where a treatment makes weights scale-free, the LR means another thing, and this compares."],
    ["stable up to", "The largest swept LR below the first one with an unstable cell."],
    ["well trained from, stable range", `The smallest swept LR from which up to the best one no mean loss exceeds best + ${k.degraded_share} · (l₀ − best). The stable range goes from there to the middle of the boundary LR; its width in decades compares arms for which a learning rate means different things.`],
    ["LR sensitivity S", `Mean over the learning rates of a window of min(l, l₀) − l*, with l* = min(best l, l₀); runs that are not finite count as l₀; unweighted (Wortsman et al. 2023, arXiv 2309.14322, §2.1). The paper's window is the 1-3 series from ${short(k.window[0])} to ${short(k.window[1])}; for runs of another length it is multiplied by √(${short(k.window_steps)} / steps), because under independent weight decay 10/steps the equilibrium size of weights scales so. A number with more than half of it below the best LR is marked: the small learning rates were undertrained, and no verdict rests on it. S over the swept LRs themselves compares arms within this sweep only.`],
    ["other intervals", `${percent}, Student t over seeds, which are averaged first; differences between arms are paired by seed. Of sensitivity by a jackknife over seeds. They cover the choice of seed and nothing else.`],
    ["attention logit", "q·k after scaling and before the softmax, over visible positions only; the largest over layers and heads. Logits grow before training breaks; in the paper every run with one above 10⁴ diverged."],
    ["entropy", "Entropy H of an attention row in nats, over rows with at least two visible keys, averaged over a head and then over the heads of a layer; the smallest layer is drawn. H / ln n is 1 for uniform attention and 0 for one key. A sink counts as one more key; attention with squared ReLU in place of the softmax has no entropy."],
    ["σ(W_Q W_Kᵀ)", "Largest singular value of a head's query matrix times its key matrix, as in use and without 1/√K; the largest over layers and heads. It limits the attention logits, and with them how low entropy can fall (Zhai et al. 2023, theorem 3.1), except where queries and keys are normed after the product (qk-norm)."],
  ];
  const sources = [
    "Wortsman et al. 2023, Small-scale proxies for large-scale Transformer training instabilities, arXiv 2309.14322.",
    "Zhai et al. 2023, Stabilizing Transformer training by preventing attention entropy collapse, arXiv 2303.06296.",
    "Dehghani et al. 2023, Scaling vision transformers to 22 billion parameters, arXiv 2302.05442 (query-key normalisation).",
    "Imbens & Manski 2004, Confidence intervals for partially identified parameters, Econometrica 72.",
    "Stoye 2009, More on confidence intervals for partially identified parameters, Econometrica 77.",
    "Holm 1979, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.",
  ];
  return h("div", {}, h("dl", { class: "terms" }, ...entries.flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, text)])),
    h("h3", {}, "Sources"), h("ul", {}, ...sources.map((s) => h("li", {}, s))));
}
