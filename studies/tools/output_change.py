"""Table and criteria of studies/output_change_depth from what `evenkeel probe output-change --json` printed.

    python3 studies/tools/output_change.py output_change.json [--summary summary.json] [--stack encoder.layers]

The input is any number of such answers one after the other; one per scheme and seed.
"""
import argparse
import json
import math
import statistics

import stats


def answers(path):
    text = open(path, encoding="utf-8").read()
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        value, at = decoder.raw_decode(text, at)
        yield from value


def mean_of(curves):
    return [statistics.fmean(values) for values in zip(*curves)]


def fits(curve, last):
    """Slope of ln f over ln N from 10 on; R^2 of lines over N and ln N from 5 on."""
    n = range(10, last + 1)
    exponent, _ = stats.line([math.log(i) for i in n], [math.log(curve[i - 1]) for i in n])
    n = range(5, last + 1)
    y = [curve[i - 1] for i in n]
    return exponent, stats.line(list(n), y)[1], stats.line([math.log(i) for i in n], y)[1]


def between(interval):
    return "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("answers")
    parser.add_argument("--summary", help="write curves and fits here")
    parser.add_argument("--stack", default="encoder.layers")
    given = parser.parse_args()

    curves = {}
    for answer in answers(given.answers):
        probe = answer["output-change"]
        stack = next(s for s in probe["stacks"] if s["stack"] == given.stack)
        curves.setdefault(probe["scheme"], []).append([s["change"] for s in stack["sublayers"]])
    mean = {scheme: mean_of(c) for scheme, c in curves.items()}
    deepest = min(len(c) for c in mean.values())
    summary = {"fits": {}, "ratios": {}, "mean": mean}

    print("| scheme | seeds | N to | slope ln f / ln N | R^2 over N | R^2 over ln N |\n|---|---|---|---|---|---|")
    for scheme, all_seeds in curves.items():
        for last in sorted({min(100, deepest), deepest}):
            exponent, linear, log = fits(mean[scheme], last)
            interval = stats.jackknife(all_seeds, lambda c: fits(mean_of(c), last)[0])
            print(f"| {scheme} | {len(all_seeds)} | {last} | {exponent:.2f}{between(interval)} | {linear:.3f} | {log:.3f} |")
            summary["fits"][f"{scheme} to {last}"] = {
                "seeds": len(all_seeds), "exponent": exponent, "interval": interval, "linear_r2": linear, "log_r2": log}

    shown = [n for n in (1, 2, 4, 10, 20, 50, 100, 200) if n <= deepest]
    print("\n| mean change at N = | " + " | ".join(map(str, shown)) + " |\n" + "|---" * (len(shown) + 1) + "|")
    for scheme in mean:
        print(f"| {scheme} | " + " | ".join(f"{mean[scheme][n - 1]:.3g}" for n in shown) + " |")

    if {"post_ln", "pre_ln", "admin"} <= set(mean):
        # Schemes share seeds: all of one seed is left out together. A ratio's interval is taken of its logarithm.
        trios = list(zip(curves["post_ln"], curves["pre_ln"], curves["admin"]))
        for n in (10, 100, 200):
            if n > deepest:
                continue
            ratio = mean["post_ln"][n - 1] / mean["admin"][n - 1]
            interval = stats.jackknife(
                trios, lambda t: math.log(sum(a[n - 1] for a, _, _ in t) / sum(c[n - 1] for _, _, c in t)))
            interval = interval and [math.exp(end) for end in interval]
            print(f"\npost_ln / admin at N = {n}: {ratio:.2f}{between(interval)}")
            summary["ratios"][f"post_ln / admin at {n}"] = {"value": ratio, "interval": interval}
        for last in sorted({min(100, deepest), deepest}):
            parts = [mean["admin"][n - 1] / mean["pre_ln"][n - 1] for n in range(4, last + 1)]
            print(f"admin / pre_ln, N = 4 to {last}: {min(parts):.3f} to {max(parts):.3f}")
            summary["ratios"][f"admin / pre_ln, 4 to {last}"] = [min(parts), max(parts)]
        print(f"post_ln per sub-layer at N = 10: {mean['post_ln'][9] / 10:.3g}")

    if given.summary:
        with open(given.summary, "w", encoding="utf-8") as out:
            rounded = {k: [float(f"{v:.4g}") for v in c] for k, c in mean.items()}
            json.dump({**summary, "mean": rounded}, out, indent=1)
            out.write("\n")


if __name__ == "__main__":
    main()
