"""Differences between pairs of arms, paired by seed: mean, 95 % interval of Student's t, seeds.

    python3 studies/tools/paired.py runs/proxies_kappa "kappa 10000" "zero layers" [--lr 0.01] [--size d64]
    python3 studies/tools/paired.py runs/proxies_z_loss neither both --lr 0.1 --metric logits/out/mean
    python3 studies/tools/paired.py runs/proxies_pointwise softmax softmax --lr 0.3 --other-lr 0.01 \\
        --metric attn/layer00/logit_absmax --log10

The first arm less the second, of the final loss or of a metric's mean over the last tenth of steps. A run that is not finite,
or has not ended, leaves its seed out and is named.
"""
import argparse
import json
import math
import pathlib
import statistics

import runs
import stats


def outcome(run, metric=None, log10=False):
    """Final loss of a run, or a metric's mean over the last tenth of steps; of what has a value per head, the largest."""
    if metric is None:
        value = run.loss
    else:
        recorded = run.series(metric)
        if not recorded:
            raise SystemExit(f"{run.folder} has no metric {metric}")
        value = statistics.fmean(value for step, value in recorded if step > 0.9 * recorded[-1][0])
    return (math.log10(value) if value > 0 else math.nan) if log10 else value


def outcomes(folder, arm, lr=None, size=None, metric=None, log10=False):
    """Seed -> outcome of the cells of one arm."""
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
        found[cell["seed"]] = outcome(runs.Run(result.parent), metric, log10) if result.exists() else math.nan
    if not found:
        raise SystemExit(f"{folder} has no cells of arm {arm}")
    return found


def difference(a, b):
    """Of outcomes by seed: mean difference, half-width of its interval, seeds, seeds left out."""
    seeds = sorted(a.keys() & b.keys())
    known = [seed for seed in seeds if math.isfinite(a[seed]) and math.isfinite(b[seed])]
    if len(known) < 2:
        raise SystemExit(f"the arms share {len(known)} seeds with finite outcomes; an interval needs two")
    differences = [a[seed] - b[seed] for seed in known]
    half = stats.t_quantile(len(known) - 1) * statistics.stdev(differences) / math.sqrt(len(known))
    return statistics.fmean(differences), half, len(known), [seed for seed in seeds if seed not in known]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("one")
    parser.add_argument("other")
    parser.add_argument("--lr", type=float)
    parser.add_argument("--other-lr", type=float, help="LR of the second arm, where it is not --lr")
    parser.add_argument("--size")
    parser.add_argument("--metric", help="a metric's name, in place of the final loss")
    parser.add_argument("--log10", action="store_true", help="of the outcome's logarithm")
    given = parser.parse_args()
    a = outcomes(given.folder, given.one, given.lr, given.size, given.metric, given.log10)
    b = outcomes(given.folder, given.other, given.other_lr or given.lr, given.size, given.metric, given.log10)
    mean, half, seeds, left = difference(a, b)
    unit = "decades" if given.log10 else "nat" if given.metric is None else "(units of the metric)"
    print(f"{given.one} {statistics.fmean(a.values()):.4g} less {given.other} {statistics.fmean(b.values()):.4g}: "
          f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}] {unit}, {seeds} seeds"
          + (f"; left out: {', '.join(map(str, left))}" if left else ""))


if __name__ == "__main__":
    main()
