// Arms are told apart by colour, symbol and dash together. Colours (report.css, --arm-0 ...) are from Okabe & Ito's
// set, which people with colour-blindness can tell apart; light and dark mode each have their own values. After the last
// colour they begin again, with the next symbol and dash: 36 arms differ.
import type { SymbolType } from "@observablehq/plot";
import { h } from "./dom";

const symbols: SymbolType[] = ["circle", "triangle", "square", "diamond2", "star", "wye"];
const dashes = ["none", "6 3", "2 3", "9 3 2 3", "1 2", "12 4"];
const hues = 6;  // as many as symbols and dashes

export class Palette {
  constructor(readonly arms: string[]) {}
  color(arm: string): string {
    return `var(--arm-${this.arms.indexOf(arm) % hues})`;
  }
  /** The colour as a value, for canvas. */
  computed(arm: string): string {
    return getComputedStyle(document.documentElement).getPropertyValue(`--arm-${this.arms.indexOf(arm) % hues}`).trim();
  }
  symbol(arm: string): SymbolType {
    return symbols[this.shifted(arm)]!;
  }
  dash(arm: string): string {
    return dashes[this.shifted(arm)]!;
  }
  private shifted(arm: string): number {
    const i = this.arms.indexOf(arm);
    return (i + Math.floor(i / hues)) % hues;
  }
  dashNumbers(arm: string): number[] {
    const dash = this.dash(arm);
    return dash === "none" ? [] : dash.split(" ").map(Number);
  }
  legend(...extra: [string, string][]): HTMLElement {
    const list = h("ul", { class: "legend" });
    const glyphs: Record<string, string> = { circle: "●", triangle: "▲", square: "■", diamond2: "◆", star: "★", wye: "✦" };
    for (const arm of this.arms) {
      const glyph = h("span", { class: "glyph", "aria-hidden": "true" }, glyphs[String(this.symbol(arm))] ?? "●");
      glyph.style.color = this.color(arm);
      list.append(h("li", {}, glyph, arm));
    }
    for (const [glyph, text] of extra) list.append(h("li", {}, h("span", { class: "glyph", "aria-hidden": "true" }, glyph), text));
    return list;
  }
}
