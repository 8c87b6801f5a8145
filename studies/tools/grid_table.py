"""Which settings of learning rate and beta2 train, by scheme.

    python3 studies/tools/grid_table.py SWEEP [--rows rows.json]
    python3 studies/tools/grid_table.py rows.json
"""
import argparse
import json
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
    per_seed = {}
    for setting in both:
        pre = {r["seed"]: r["loss"] for r in cells["pre_ln", *setting]}
        for row in cells["admin", *setting]:
            if row["loss"] is not None and pre.get(row["seed"]) is not None:
                per_seed.setdefault(row["seed"], []).append(row["loss"] - pre[row["seed"]])
    mean, half = stats.t_interval([statistics.fmean(d) for d in per_seed.values()])
    if half is not None:
        print(f"admin minus pre_ln over {len(both)} settings: {mean:+.3f} ± {half:.3f} nat")


if __name__ == "__main__":
    main()
