"""Differences of final loss between pairs of arms, paired by seed: mean, 95 % interval of Student's t, seeds.

    python3 studies/tools/paired.py runs/proxies_kappa "kappa 10000" "zero layers" [--lr 0.01] [--size d64]

The first arm less the second; a run that is not finite, or has not ended, leaves its seed out and is named.
"""
import argparse
import json
import math
import pathlib
import statistics

import runs
import stats


def losses(folder, arm, lr, size):
    """Seed -> final loss of the cells of one arm."""
    found = {}
    sweep = json.loads((folder / "sweep.json").read_text(), object_hook=runs.restored)
    for cell in sweep["cells"]:
        if cell["arm"] != arm or cell.get("round", 0) or (lr is not None and not math.isclose(cell["lr"], lr)):
            continue
        if size is not None and cell["size"] != size:
            continue
        if cell["seed"] in found:
            raise SystemExit(f"{arm} has several runs of seed {cell['seed']}: name --lr and --size")
        result = folder / "cells" / cell["hash"] / "result.json"
        found[cell["seed"]] = runs.Run(result.parent).loss if result.exists() else math.nan
    if not found:
        raise SystemExit(f"{folder} has no cells of arm {arm}")
    return found


def difference(folder, one, other, lr=None, size=None):
    """Mean difference, half-width of its interval, seeds, seeds left out."""
    a, b = losses(folder, one, lr, size), losses(folder, other, lr, size)
    seeds = sorted(a.keys() & b.keys())
    known = [seed for seed in seeds if math.isfinite(a[seed]) and math.isfinite(b[seed])]
    if len(known) < 2:
        raise SystemExit(f"{one} and {other} share {len(known)} seeds with finite losses; an interval needs two")
    differences = [a[seed] - b[seed] for seed in known]
    half = stats.t_quantile(len(known) - 1) * statistics.stdev(differences) / math.sqrt(len(known))
    return statistics.fmean(differences), half, len(known), [seed for seed in seeds if seed not in known]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("one")
    parser.add_argument("other")
    parser.add_argument("--lr", type=float)
    parser.add_argument("--size")
    given = parser.parse_args()
    mean, half, seeds, left = difference(given.folder, given.one, given.other, given.lr, given.size)
    print(f"{given.one} less {given.other}: {mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}] nat, {seeds} seeds"
          + (f"; left out: {', '.join(map(str, left))}" if left else ""))


if __name__ == "__main__":
    main()
