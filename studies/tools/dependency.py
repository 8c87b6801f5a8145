"""Diagonals of dependency matrices: `init` for models at initialisation, `trained SWEEP` for trained ones beside their starts.

    python3 studies/tools/dependency.py init [--summary summary.json]
    python3 studies/tools/dependency.py trained runs/admin_depth --depth 6 18 [--summary summary.json]

Runs `evenkeel probe dependency`, which must be on the PATH (or in EVENKEEL).
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess

import runs
import stats

HERE = pathlib.Path(__file__).resolve().parent
ENCODER = HERE.parent / "output_change_depth" / "encoder.toml"


def probe(*what):
    """Per stack (encoder, decoder) the list of beta_ii and that of the sums of squares."""
    command = [os.environ.get("EVENKEEL", "evenkeel"), "probe", "dependency", *map(str, what), "--json", "--threads", "1"]
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)[0]
    return {s["stack"].split(".")[0]: ([u["beta"][-1] for u in s["sublayers"]],
                                       [u["sum_of_squares"] for u in s["sublayers"]])
            for s in answer["dependency"]["stacks"]}


def sets(**fields):
    return [part for path, value in fields.items() for part in ("--set", f"{path.replace('__', '.')}={value}")]


def means(curves):
    return [statistics.fmean(c) for c in zip(*curves)]


def rounded(curve):
    return [round(v, 4) for v in curve]


def at_start(seeds):
    summary = {}
    for scheme in ("post_ln", "pre_ln", "admin"):
        found = [probe(ENCODER, "--batch", 4, *sets(arch__residual=scheme, arch__width=256, arch__depth=18, train__seed=seed))
                 ["encoder"] for seed in seeds]
        sums = [s for _, all_sums in found for s in all_sums]
        summary[scheme] = {"diagonal": rounded(means([d for d, _ in found])), "sum_of_squares": rounded(means(
            [s for _, s in found])), "sum_of_squares_range": rounded([min(sums), max(sums)])}
    shown = (1, 2, 3, 4, 6, 12, 18, 24, 36)
    print("| beta_ii at i = | " + " | ".join(map(str, shown)) + " | range, i >= 2 | row sums of squares |\n" + "|---" * (len(shown) + 3) + "|")
    for scheme, s in summary.items():
        d = s["diagonal"]
        print(f"| {scheme} | " + " | ".join(f"{d[i - 1]:.3f}" for i in shown) + f" | {min(d[1:]):.3f} to {max(d[1:]):.3f} "
              f"| {min(s['sum_of_squares']):.3f} to {max(s['sum_of_squares']):.3f} |")
    gap = max(abs(a - b) for a, b in zip(summary["admin"]["diagonal"][2:], summary["pre_ln"]["diagonal"][2:]))
    print(f"\nlargest |admin - pre_ln| from i = 3 on: {gap:.4f}")
    for scheme, s in summary.items():
        print(f"{scheme}: mean of i = 1 to 12 {statistics.fmean(s['diagonal'][:12]):.3f}, of 25 to 36 "
              f"{statistics.fmean(s['diagonal'][24:]):.3f}")
    return summary


def text(values):
    mean, half = stats.t_interval(values)
    return f"{mean:.3f}" + ("" if half is None else f" ± {half:.3f}")


def trained(sweep, depths):
    summary, lines = [], {}
    for run in runs.load([sweep]):
        if run["arch.depth"] not in depths:
            continue
        flat = sets(**{f"{table}__{key}": value for table in ("arch",) for key, value in run.config[table].items()
                       if key in ("family", "width", "heads", "depth", "decoder_depth", "context", "residual")})
        data = sets(data__kind="synthetic_pairs", data__batch_tokens=run["data.batch_tokens"],
                    data__valid_tokens=run["data.valid_tokens"], data__pairs__task=run["data.pairs.task"],
                    data__pairs__length_max=run["data.pairs.length_max"], train__seed=run["train.seed"])
        before, after = probe("--batch", 16, *flat, *data), probe(run.folder, "--batch", 16)
        for stack in before:
            row = {"depth": run["arch.depth"], "scheme": runs.scheme(run), "seed": run["train.seed"], "stack": stack,
                   "converged": run.converged(), "start": rounded(before[stack][0]), "trained": rounded(after[stack][0])}
            summary.append(row)
            lines.setdefault((row["depth"], stack, row["scheme"]), []).append(row)
    print("| layers | stack | scheme | converged | diagonal (i from 3) at the start | trained | rise | trained less pre_ln |\n"
          "|---|---|---|---|---|---|---|---|")

    def mean(curve):
        return statistics.fmean(curve[2:])

    for (depth, stack, scheme), rows in sorted(lines.items()):
        pre = {r["seed"]: mean(r["trained"]) for r in lines.get((depth, stack, "pre_ln"), [])}
        lead = [mean(r["trained"]) - pre[r["seed"]] for r in rows if r["seed"] in pre] if scheme != "pre_ln" else []
        print(f"| {depth}-{depth} | {stack} | {scheme} | {sum(r['converged'] for r in rows)} of {len(rows)} "
              f"| {text([mean(r['start']) for r in rows])} | {text([mean(r['trained']) for r in rows])} "
              f"| {text([mean(r['trained']) - mean(r['start']) for r in rows])} | {text(lead) if lead else '-'} |")
    return summary


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["init", "trained"])
    parser.add_argument("sweep", nargs="?")
    parser.add_argument("--depth", type=int, nargs="+", default=[6, 18])
    parser.add_argument("--summary")
    given = parser.parse_args()
    if given.what == "init":
        summary = at_start(range(61, 71))
    else:
        summary = trained(given.sweep, given.depth)
    if given.summary:
        with open(given.summary, "w", encoding="utf-8") as out:
            if isinstance(summary, list):
                out.write("[\n" + ",\n".join(json.dumps(row) for row in summary) + "\n]\n")
            else:
                out.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in summary.items()) + "\n}\n")


if __name__ == "__main__":
    main()
