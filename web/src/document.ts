// Reading the document inside the page.

const numbers: Record<string, number> = { nan: NaN, inf: Infinity, "-inf": -Infinity };

/** A reviver of JSON.parse: what the key `nonfinite` of an object names, such as "loss=nan values[3]=inf", goes back into its
    place, where JSON has null (evenkeel/base/json.h). */
function restore(this: unknown, _key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || !("nonfinite" in value) || typeof value.nonfinite !== "string") return value;
  const { nonfinite, ...object } = value as Record<string, unknown>;
  for (const item of (nonfinite as string).split(" ").filter(Boolean)) {
    const equals = item.lastIndexOf("=");
    const path = item.slice(0, equals).replaceAll("]", "").split("[");
    let at = object as Record<string, unknown>;
    for (const step of path.slice(0, -1)) at = at[step] as Record<string, unknown>;
    at[path.at(-1)!] = numbers[item.slice(equals + 1)];
  }
  return object;
}

export const parse = (text: string): unknown => JSON.parse(text, restore);
