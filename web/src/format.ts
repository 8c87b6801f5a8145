// Numbers as people read them.
import type { Boundary, Estimate, Interval, Maybe, Shift } from "./types";

/** The number itself; missing values become NaN too, so check for null first where that differs. */
export function num(value: Maybe | undefined): number {
  return value ?? NaN;
}

export const finite = (value: Maybe | undefined): boolean => Number.isFinite(num(value));

/** Whether the analysis takes two learning rates for one (evenkeel/analysis/sensitivity.h). */
export const sameLr = (a: number | null, b: number | null): boolean =>
  a !== null && b !== null && Math.abs(a - b) <= 1e-6 * Math.max(Math.abs(a), Math.abs(b));

const superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const raised = (n: number): string =>
  (n < 0 ? "⁻" : "") + [...String(Math.abs(n))].map((d) => superscripts[Number(d)]).join("");

/** `digits` significant digits, powers of ten outside 1e-4 .. 1e5. */
export function short(value: number, digits = 3): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-4) {
    const exponent = Math.floor(Math.log10(size));
    const mantissa = Number((value / 10 ** exponent).toPrecision(digits));
    return mantissa === 1 ? `10${raised(exponent)}` : `${minus(String(mantissa))}·10${raised(exponent)}`;
  }
  return minus(String(Number(value.toPrecision(digits))));
}

const minus = (text: string): string => text.replace("-", "−");

export const lrText = (lr: number): string => short(lr, 2);
export const loss = (value: number): string => minus(value.toFixed(3));
export function signed(value: number, places = 3): string {
  const digits = Math.abs(value).toFixed(places);
  return (value >= 0 || Number(digits) === 0 ? "+" : "−") + digits;
}
export const count = (value: number): string => value.toLocaleString("en").replaceAll(",", " ");

export function intervalText(interval: Interval, show: (v: number) => string): string {
  if (interval && num(interval[0]) === 0 && num(interval[1]) === Infinity) return "[open]";
  return interval ? `[${show(num(interval[0]))}, ${show(num(interval[1]))}]` : "";
}

/** "0.1–0.3", the bracket; "≥ 1", "≤ 0.01" or "unknown". As analysis/verdict.h, whose sentences stand beside it. */
export function boundaryText(b: Boundary): string {
  if (b.kind === "bracketed") return `${lrText(num(b.low))}–${lrText(num(b.high))}`;
  if (b.kind === "at_least") return `≥ ${lrText(num(b.interval ? b.interval[0] : b.low))}`;
  if (b.kind === "at_most") return `≤ ${lrText(num(b.interval ? b.interval[1] : b.high))}`;
  return "unknown";
}

/** Its interval, where it says more than boundaryText. */
export const boundaryInterval = (b: Boundary): string => (b.kind === "bracketed" ? intervalText(b.interval, lrText) : "");

/** Round numbers from `low` to `high`, about `count` of them. */
export function roundTicks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((m) => m * power >= rough) ?? 10);
  const first = Math.ceil(low / step), last = Math.floor(high / step);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

export const percent = (share: number): string => `${Number((100 * share).toPrecision(6))} %`;

const decades = (x: number): string => signed(x, 2);

/** "+0.32 to +0.81", "≥ +0.5" or "unknown", in decades: the interval, or what the tried learning rates leave open. */
export function shiftText(s: Shift): string {
  if (s.direction === "unknown") return "unknown";
  const [low, high] = s.interval ? s.interval.map(num) as [number, number] : [s.low ?? -Infinity, s.high ?? Infinity];
  if (high === Infinity) return low === -Infinity ? "unknown" : `≥ ${decades(low)}`;
  return low === -Infinity ? `≤ ${decades(high)}` : `${decades(low)} to ${decades(high)}`;
}

/** "+0.031 ± 0.020", or a dash. */
export function change(e: Estimate): string {
  if (e.value === null) return "–";
  const half = e.interval ? ` ± ${(0.5 * (num(e.interval[1]) - num(e.interval[0]))).toFixed(3)}` : "";
  return signed(num(e.value)) + half;
}

/** A swept value of any setting. */
export function settingText(value: unknown): string {
  if (typeof value === "number") return short(value, 6);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Values to put ticks at, as many as the width has room for; undefined where there are too many to be an axis of single values. */
export function sparse(values: number[], width: number): number[] | undefined {
  if (values.length > 24) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const every = Math.ceil((56 * sorted.length) / width);
  return sorted.filter((_, i) => i % every === 0);
}

/** Smallest and largest of any number of values; Math.min(...values) takes about a hundred thousand. */
export const least = (values: number[]): number => values.reduce((a, b) => (b < a || Number.isNaN(b) ? b : a), Infinity);
export const most = (values: number[]): number => values.reduce((a, b) => (b > a || Number.isNaN(b) ? b : a), -Infinity);

/** Marks that a chart draws one by one. Beyond, those of cells with curves stand for all. */
export const mostMarks = 2000;
