// The document that evenkeel writes into the page (evenkeel/report/report.cpp, evenkeel/analysis/json.cpp).

/** A number or what is not there; NaN and infinities are numbers (document.ts restores them). */
export type Maybe = number | null;
export type Interval = [number, number] | null;

export interface Estimate {
  value: Maybe;
  interval: Interval;
  n: number;
  why?: string;
}

export interface Window {
  value: number | null;
  lrs: number[];
  interval: Interval;
  below: number | null;
  above: number | null;
  undertrained: boolean | null;
  why?: string;
}

/** Where one seed's training becomes unstable: after `low`, by `high`; null where the bracket is open. */
export interface Bracket {
  seed: number;
  low: number | null;
  high: number | null;
  /** Stable cells above the bracket. */
  stable_above: number;
}

export interface Boundary {
  kind: "none" | "bracketed" | "at_least" | "at_most";
  low: number | null;
  high: number | null;
  middle: number | null;
  /** Its upper end may be infinite, its lower end 0. */
  interval: Interval;
  width_decades: number | null;
  brackets: Bracket[];
  blocked_seeds: number;
  reentrant_seeds: number;
  interval_if_last: Interval;
  why?: string;
}

/** Of the boundary LR, arm against baseline, in decades. */
export interface Shift {
  direction: "unknown" | "up" | "down" | "none" | "unresolved";
  low: number | null;
  high: number | null;
  middle: number | null;
  interval: Interval;
  paired: boolean;
  seeds: number;
  later: number;
  earlier: number;
  undecided: number;
  p: number | null;
  holm_p: number | null;
  stands: boolean;
  why?: string;
}

export interface Mean extends Estimate {
  lr: number;
  cells: number;
  nonfinite_runs: number;
  unstable: number;
  missing: number;
  effective_lr: number | null;
}

export interface Curve {
  arm: string;
  size: string;
  params: number | null;
  steps: number | null;
  l0: number | null;
  means: Mean[];
  sensitivity: { split_of: string | null; windows: { paper: Window; run_length: Window; swept: Window } };
  best_lr: number | null;
  best_loss: number | null;
  best_loss_interval: Interval;
  seed_spread: number | null;
  stable_lr_max: number | null;
  stable_lr_min: number | null;
  boundary_lr: Boundary;
  headroom_decades: Estimate;
  /** With a whole grid. */
  seeds: number;
  /** Run to narrow brackets. */
  refined_cells: number;
  missing_cells: number;
  step_ms: number | null;
}

export interface Comparison {
  headline: string;
  details: string;
  arm: string;
  baseline: string;
  size: string;
  shift: Shift;
  best_loss_change: Estimate;
  loss_change: (Estimate & { lr: number })[];
}

export interface Series {
  steps: number[];
  values: number[];
  recorded: number;
}

/** Attentions of one kind: "" in a stack of its own, else "encoder", "decoder" or "cross". */
export interface Attention {
  kind: string;
  logit: Series;
  entropy: Series;
  qk_sigma: Series;
  logit_peak: number | null;
  entropy_low: number | null;
  qk_sigma_peak: number | null;
  /** Layers by heads, at the last record. */
  end_entropy: number[][];
  end_logit: number[][];
}

export interface Cell {
  arm: string;
  size: string;
  lr: number;
  seed: number;
  steps: number;
  params: number | null;
  label: string;
  unstable: boolean | null;
  /** Run after the grid to narrow a seed's bracket. */
  refined: boolean;
  relapsed: boolean | null;
  effective_lr: number | null;
  hash: string;
  l0: number | null;
  loss: Maybe;
  step_ms: number | null;
  /** Final validation loss minus training loss. */
  gap: number | null;
  nonfinite_step: number | null;
  /** First step of a relapse that lasted to the end. */
  relapse_step: number | null;
  train?: Series;
  valid?: Series;
  attention?: Attention[];
  logit_peak?: number | null;
  entropy_low?: number | null;
  heads_step?: number;
  spikes?: number;
  collapses?: number;
  /** Sharpness over the edge of stability, over steps. */
  edge_ratio?: Series;
  edge_peak?: number | null;
  /** Output logits over steps: their mean over ids that occur, and log Z. */
  output?: { mean: Series; logz: Series };
  logit_mean_end?: number | null;
  logz_end?: number | null;
  /** Of the last record: the smallest RMS of a tensor's gradient; the share of heads whose attention is collapsed. */
  grad_rms_low?: number | null;
  collapsed_share?: number | null;
  /** The optimiser's epsilon. */
  eps?: number | null;
  /** Numbers among the settings in which runs differ. */
  settings?: Record<string, number>;
}

export interface Setting {
  path: string;
  values: unknown[];
  doc: string;
}

/** What `evenkeel probe dependency`, `output-change` or `gradients` says of one model (docs/formats/probe.md). */
export interface Answer {
  run: string | null;
  step: number;
  config_hash: string;
  dependency?: { scheme: string; stacks: Stack<{ beta: number[]; dependency: Maybe }>[] };
  "output-change"?: { scheme: string; change: string; size: number; seeds: number; stacks: Stack<{ change: number; std: Maybe }>[] };
  gradients?: { scheme: string; stacks: Stack<{ at_sum: number; at_input: Maybe }>[] };
}

/** Sub-layers in the order in which they act. */
export interface Stack<T> {
  stack: string;
  sublayers: (T & { site: string })[];
}

/** A page of probes alone. */
export interface Probes {
  evenkeel: string;
  title: string;
  probes: Answer[];
}

export interface Report extends Probes {
  study: Partial<Record<"title" | "question" | "expectation" | "criterion" | "cost", string>>;
  notes: string[];
  analysis: {
    /** Null where nothing says which arm it is: then `why` does, and nothing is compared. */
    baseline: string | null;
    arms: string[];
    sizes: string[];
    curves: Curve[];
    comparisons: Comparison[];
    verdict: string[];
    /** How many comparisons were made and what stands after Holm's correction; "" for fewer than two. */
    multiplicity: string;
    constants: {
      interval_level: number;
      degraded_share: number;
      window: [number, number];
      window_steps: number;
      margin_decades: number;
      not_learned_margin: number;
      spike: { window: number; deviations: number; recovered: number };
      collapse: { entropy_norm: number; records: number };
    };
    why?: string;
  };
  config: { same: Setting[]; varied: Setting[] };
  facts: {
    data?: string;
    h1?: number | null;
    bigram?: number | null;
    floor?: number | null;
    train_tokens?: number | null;
    /** The most that one step may hold (of pairs: on either side); null where runs differ in it. */
    tokens_per_step?: number | null;
    imported?: boolean;
    processor?: string | null;
  };
  cells: Cell[];
}
