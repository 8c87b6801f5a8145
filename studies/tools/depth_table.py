"""Convergence by depth and scheme, from sweeps or from the rows that --rows wrote.

    python3 studies/tools/depth_table.py SWEEP... [--rows rows.json]
    python3 studies/tools/depth_table.py rows.json
"""
import argparse
import json
import pathlib
import statistics

import runs
import stats


def percent(share):
    return f"{100 * share:.0f}"


def change(values):
    mean, half = stats.t_interval(values)
    return f"{mean:+.3f}" + ("" if half is None else f" ± {half:.3f}")


def show(what, depths):
    """Differences of pairs, averaged over `depths` within every seed that has all of them."""
    seeds = [seed for seed in sorted(depths[0]) if all(seed in found for found in depths)]
    parts = []
    for key in ("loss", "train_loss", "steps_to_1_nat"):
        values = [[(a[key], b[key]) for a, b in (found[seed] for found in depths)] for seed in seeds]
        if values and not any(None in pair for seed in values for pair in seed):
            parts.append(change([statistics.fmean(a - b for a, b in seed) for seed in values]))
        else:
            parts.append("-")
    print(f"{what}: {'; '.join(parts)} ({len(seeds)} seeds)")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="+")
    parser.add_argument("--rows", help="write one object per run here")
    given = parser.parse_args()
    rows = []
    for what in given.what:
        rows += json.loads(pathlib.Path(what).read_text()) if what.endswith(".json") else runs.rows(runs.load([what]))
    rows.sort(key=lambda r: (-r["lr"], r["depth"], r["scheme"], r["seed"]))
    if given.rows:
        runs.write_rows(given.rows, rows)

    print("| lr | layers | scheme | converged | share, % | not learned | diverged | steps to 1 nat | loss of the converged "
          "| median loss of all |\n|---|---|---|---|---|---|---|---|---|---|")
    groups = {}
    for row in rows:
        groups.setdefault((row["lr"], row["depth"], row["scheme"]), []).append(row)
    for (lr, depth, scheme), group in groups.items():
        n = len(group)
        good = [r for r in group if r["converged"]]
        low, high = stats.wilson(len(good), n)
        steps = [r["steps_to_1_nat"] for r in good if r["steps_to_1_nat"]]
        mean, half = stats.t_interval([r["loss"] for r in good])
        losses = [r["loss"] for r in group if r["loss"] is not None]
        print(f"| {lr:g} | {depth}-{depth} | {scheme} | {len(good)} of {n} | {percent(low)} to {percent(high)} "
              f"| {sum(r['label'] == 'not_learned' for r in group)} | {sum(r['diverged'] for r in group)} "
              f"| {statistics.median(steps) if steps else '-'} "
              f"| {'-' if mean is None else f'{mean:.3f}' + ('' if half is None else f' ± {half:.3f}')} "
              f"| {f'{statistics.median(losses):.2f}' if losses else '-'} |")

    print("\nAdmin less pre_ln, paired by seed, where both converged: final loss, mean training loss of the last 10 % of steps, "
          "steps to 1 nat")
    for lr in sorted({r["lr"] for r in rows}, reverse=True):
        of = {(r["scheme"], r["depth"], r["seed"]): r for r in rows if r["lr"] == lr}
        pairs = {}
        for (scheme, depth, seed), row in of.items():
            other = of.get(("pre_ln", depth, seed))
            if scheme == "admin" and other and row["converged"] and other["converged"]:
                pairs.setdefault(depth, {})[seed] = (row, other)
        for upto in range(2, len(pairs) + 1):
            show(f"lr {lr:g}, mean of " + ", ".join(f"{d}-{d}" for d in list(pairs)[:upto]), list(pairs.values())[:upto])
        for depth, found in pairs.items():
            show(f"lr {lr:g}, {depth}-{depth}", [found])


if __name__ == "__main__":
    main()
