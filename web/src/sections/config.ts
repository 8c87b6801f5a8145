// The exact configuration: what varied, then every setting that all cells share.
import { h, table } from "../dom";
import { settingText } from "../format";
import type { Report, Setting } from "../types";

const columns = [
  { name: "setting", text: (s: Setting) => s.path, mark: () => "code" },
  { name: "value", text: (s: Setting) => s.values.map(settingText).join(", "), mark: () => "code" },
  { name: "meaning", text: (s: Setting) => s.doc, mark: () => "prose" },
];

export function configuration(report: Report): HTMLElement {
  const { varied, same } = report.config;
  if (varied.length + same.length === 0) return h("p", {}, "These runs were imported: their configuration is not known.");
  return h(
    "div",
    {},
    varied.length ? table("What varied", columns, varied) : null,
    h("details", {}, h("summary", {}, `The ${same.length} settings that all cells share`), table("The same in all cells", columns, same)),
  );
}
