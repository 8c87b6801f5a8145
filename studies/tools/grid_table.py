"""Which settings of learning rate and beta2 train, by scheme.

    python3 studies/tools/grid_table.py SWEEP [--rows rows.json]
    python3 studies/tools/grid_table.py rows.json
"""
import argparse
import json
import math
import pathlib
import statistics

import runs
import stats


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what")
    parser.add_argument("--rows", help="write one object per run here")
    given = parser.parse_args()
    rows = json.loads(pathlib.Path(given.what).read_text()) if given.what.endswith(".json") else runs.rows(runs.load([given.what]))
    rows.sort(key=lambda r: (r["scheme"], r["beta2"], r["lr"], r["seed"]))
    if given.rows:
        runs.write_rows(given.rows, rows)
    cells = {}
    for row in rows:
        cells.setdefault((row["scheme"], row["beta2"], row["lr"]), []).append(row)
    trains = {key: sum(r["converged"] for r in group) >= 0.8 * len(group) for key, group in cells.items()}
    rates = sorted({r["lr"] for r in rows})
    print("| scheme | beta2 | " + " | ".join(f"lr {lr:g}" for lr in rates) + " |\n" + "|---" * (len(rates) + 2) + "|")
    for scheme, beta2 in sorted({key[:2] for key in cells}):
        line = []
        for lr in rates:
            group = cells[scheme, beta2, lr]
            losses = [r["loss"] for r in group if r["loss"] is not None]
            line.append(f"{sum(r['converged'] for r in group)} of {len(group)}, "
                        + (f"{statistics.median(losses):.2f}" if losses else "-")
                        + (f", {sum(r['diverged'] for r in group)} diverged" if any(r["diverged"] for r in group) else ""))
        print(f"| {scheme} | {beta2} | " + " | ".join(line) + " |")
    print("\nSeeds that converged, and the median final loss of all seeds.")
    for scheme in sorted({key[0] for key in cells}):
        mine = [t for key, t in trains.items() if key[0] == scheme]
        print(f"{scheme}: trains at {sum(mine)} of {len(mine)} settings")
    both = [key[1:] for key, good in trains.items() if key[0] == "admin" and good and trains.get(("pre_ln", *key[1:]))]
    for key, name in (("loss", "final validation loss"), ("train_loss", "mean training loss of the last 10 % of steps")):
        per_seed = {}
        for setting in both:
            pre = {r["seed"]: r[key] for r in cells["pre_ln", *setting]}
            for row in cells["admin", *setting]:
                if row[key] is not None and pre.get(row["seed"]) is not None:
                    per_seed.setdefault(row["seed"], []).append(row[key] - pre[row["seed"]])
        whole = [statistics.fmean(d) for d in per_seed.values() if len(d) == len(both)]
        mean, half = stats.t_interval(whole)
        if half is not None:
            print(f"admin minus pre_ln over {len(both)} settings, {len(whole)} seeds finite at all of them: {mean:+.3f} "
                  f"± {half:.3f} nat of {name}")
        best = {}
        for scheme in ("admin", "pre_ln"):
            mean_of = {k: statistics.fmean(math.inf if r[key] is None else r[key] for r in group)
                       for k, group in cells.items() if k[0] == scheme}
            best[scheme] = min(mean_of, key=mean_of.get) if mean_of else None
        if None not in best.values():
            pre = {r["seed"]: r[key] for r in cells[best["pre_ln"]]}
            pairs = [r[key] - pre[r["seed"]] for r in cells[best["admin"]]
                     if r[key] is not None and pre.get(r["seed"]) is not None]
            mean, half = stats.t_interval(pairs)
            if half is not None:
                print(f"each at its best setting of the grid (beta2, lr: admin {best['admin'][1:]}, pre_ln {best['pre_ln'][1:]}), "
                      f"chosen on these same seeds: {mean:+.3f} ± {half:.3f} nat of {name}")


if __name__ == "__main__":
    main()
