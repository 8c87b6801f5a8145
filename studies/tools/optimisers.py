"""Adam against SGD: final losses at each one's best rate, and the spread of gradients and updates over matrices.

    python3 studies/tools/optimisers.py loss SWEEP... [--rows rows.json]
    python3 studies/tools/optimisers.py loss rows.json
    python3 studies/tools/optimisers.py spread SWEEP... [--rows spread.json]

Seeds 61 and 62 choose the rate, all others are judged. `spread` runs `evenkeel probe gradients`, which must be on the PATH
(or in EVENKEEL).
"""
import argparse
import array
import json
import math
import os
import pathlib
import statistics
import subprocess

import runs
import stats

TUNE = (61, 62)


def text(values, sign=""):
    mean, half = stats.t_interval(values)
    return "-" if mean is None else f"{mean:{sign}.3f}" + ("" if half is None else f" ± {half:.3f}")


def by(rows, *keys):
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in keys), []).append(row)
    return dict(sorted(groups.items()))


def best_rates(rows):
    """Rate of least mean loss over the tuning seeds, by (scheme, optimiser)."""
    best = {}
    for (scheme, optimiser), group in by([r for r in rows if r["seed"] in TUNE], "scheme", "optimiser").items():
        mean = {lr: statistics.fmean(math.inf if r["loss"] is None else r["loss"] for r in at)
                for (lr,), at in by(group, "lr").items()}
        best[scheme, optimiser] = min(mean, key=mean.get)
        rates = list(mean)
        edge = " AT THE EDGE" if best[scheme, optimiser] in (rates[0], rates[-1]) else ""
        print(f"{scheme} {optimiser}: " + ", ".join(f"{lr:g}: {loss:.3f}" for lr, loss in mean.items())
              + f"; best {best[scheme, optimiser]:g}{edge}")
    return best


def judged(rows, best):
    return [r for r in rows if r["seed"] not in TUNE and r["lr"] == best.get((r["scheme"], r["optimiser"]))]


def loss(rows):
    print("mean final loss of seeds 61 and 62 by learning rate")
    chosen = judged(rows, best_rates(rows))
    if not chosen:
        return
    print("\n| scheme | optimiser | lr | converged | diverged | final loss | steps to 1 nat |\n|---|---|---|---|---|---|---|")
    for (scheme, optimiser, lr), group in by(chosen, "scheme", "optimiser", "lr").items():
        steps = [r["steps_to_1_nat"] for r in group if r["steps_to_1_nat"]]
        print(f"| {scheme} | {optimiser} | {lr:g} | {sum(r['converged'] for r in group)} of {len(group)} "
              f"| {sum(r['diverged'] for r in group)} | {text([r['loss'] for r in group if r['loss'] is not None])} "
              f"| {f'{statistics.median(steps):g}' if steps else '-'} |")
    print()
    for (scheme,), group in by(chosen, "scheme").items():
        for key, name in (("loss", "final validation loss"), ("train_loss", "mean training loss of the last 10 % of steps")):
            of = {(r["optimiser"], r["seed"]): r[key] for r in group}
            seeds = sorted({seed for _, seed in of})
            pairs = [of["sgd", seed] - of["adam", seed] for seed in seeds
                     if of.get(("sgd", seed)) is not None and of.get(("adam", seed)) is not None]
            print(f"{scheme}: sgd less adam, {len(pairs)} of {len(seeds)} seeds finite with both: {text(pairs, '+')} nat of {name}")


def matrices(*what):
    command = [os.environ.get("EVENKEEL", "evenkeel"), "probe", "gradients", *map(str, what), "--json", "--threads", "1",
               "--batch", "16"]
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)[0]
    return [m for m in answer["gradients"]["matrices"] if m["in_block"]]


def momenta(folder):
    """Root mean square of SGD's momentum, which is its direction, by parameter, from the newest checkpoint."""
    newest = max(folder.glob("checkpoints/step*"))
    raw = (newest / "optim.safetensors").read_bytes()
    begin = 8 + int.from_bytes(raw[:8], "little")
    found = {}
    for name, at in json.loads(raw[8:begin]).items():
        if name.startswith("momentum_buffer/"):
            first, last = at["data_offsets"]
            values = array.array("f", raw[begin + first:begin + last])
            found[name.split("/", 1)[1]] = math.sqrt(statistics.fmean(v * v for v in values))
    return found


def spread_of(found, key):
    logs = [math.log(m[key]) for m in found if m[key]]
    return {"sd": round(statistics.stdev(logs), 4), "range": round(max(logs) - min(logs), 4), "matrices": len(logs)}


def kinds(found, key):
    """ln rms by kind of matrix (attn.q, cross.v, mlp.fc1), mean over layers."""
    groups = {}
    for m in found:
        if m[key]:
            groups.setdefault(".".join(m["parameter"].split(".")[-3:-1]), []).append(math.log(m[key]))
    return {kind: round(statistics.fmean(logs), 4) for kind, logs in groups.items()}


def spread(folders):
    found = runs.load(folders)
    rows = runs.rows(found)
    chosen = judged(rows, best_rates(rows))
    out = []
    for run, row in zip(found, rows):
        if row not in chosen or row["loss"] is None:
            continue
        trained = matrices(run.folder)
        if row["optimiser"] == "sgd":  # whose directions the probe does not give
            direction = momenta(run.folder)
            for matrix in trained:
                matrix["direction"] = direction[matrix["parameter"]]
        out.append({k: row[k] for k in ("scheme", "optimiser", "lr", "seed")} | {
            part: spread_of(trained, part) for part in ("gradient", "direction")} | {
            "kinds": {part: kinds(trained, part) for part in ("gradient", "direction")}})
        if row["optimiser"] == "adam":
            study = pathlib.Path(__file__).resolve().parent.parent / "adam_vs_sgd" / "adam.toml"
            out[-1]["start"] = spread_of(matrices(study, "--set", f"arch.residual={row['scheme']}", "--set",
                                                  f"train.seed={row['seed']}", "--set", "optim.lr=0.001"), "gradient")
    return out


def spread_table(rows):
    def ratio(values):
        mean, half = stats.t_interval(values)
        return f"{math.exp(mean):.3g}" + ("" if half is None else f" [{math.exp(mean - half):.3g}, {math.exp(mean + half):.3g}]")

    print("\n| scheme | optimiser | of | largest over smallest | sd of ln rms |\n|---|---|---|---|---|")
    for (scheme, optimiser), group in by(rows, "scheme", "optimiser").items():
        for part in ("start", "gradient", "direction"):
            have = [r[part] for r in group if part in r]
            if have:
                print(f"| {scheme} | {optimiser} | {part} | {ratio([h['range'] for h in have])} "
                      f"| {text([h['sd'] for h in have])} |")
    print()
    for (scheme, optimiser), group in by(rows, "scheme", "optimiser").items():
        print(f"{scheme} {optimiser}: sd of ln rms, gradient less update, {len(group)} seeds: "
              + text([r["gradient"]["sd"] - r["direction"]["sd"] for r in group], "+"))
        for part in ("gradient", "direction"):
            names = group[0]["kinds"][part]
            mean = {k: math.exp(statistics.fmean(r["kinds"][part][k] for r in group)) for k in names}
            print(f"  {part} by kind, over the largest: "
                  + ", ".join(f"{k} {v / max(mean.values()):.2f}" for k, v in mean.items()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("table", choices=["loss", "spread"])
    parser.add_argument("what", nargs="+")
    parser.add_argument("--rows", help="write one object per run here")
    given = parser.parse_args()
    stored = given.what[0].endswith(".json")
    if stored:
        rows = json.loads(pathlib.Path(given.what[0]).read_text())
    elif given.table == "loss":
        rows = runs.rows(runs.load(given.what))
        rows.sort(key=lambda r: (r["scheme"], r["optimiser"], r["lr"], r["seed"]))
    else:
        rows = spread(given.what)
    (loss if given.table == "loss" else spread_table)(rows)
    if given.rows:
        runs.write_rows(given.rows, rows)


if __name__ == "__main__":
    main()
