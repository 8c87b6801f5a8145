"""How gradients fall over the depth of each stack at initialisation, for layouts of encoder and decoder.

    python3 studies/tools/gradients.py STUDY.toml [--summary summary.json]

Runs `evenkeel probe gradients`, which must be on the PATH (or in EVENKEEL), for seeds 61 to 65.
"""
import argparse
import json
import math
import os
import statistics
import subprocess

import stats

LAYOUTS = [("post_ln", "post_ln"), ("post_ln", "pre_ln"), ("pre_ln", "post_ln"), ("pre_ln", "pre_ln"), ("admin", "admin")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("study")
    parser.add_argument("--summary")
    parser.add_argument("--seeds", default="61,62,63,64,65")
    given = parser.parse_args()
    summary = {}
    print("| encoder/decoder | stack | first over last, rms of dL/dx | [95 %] | per sub-layer: self, cross, mlp |\n"
          "|---|---|---|---|---|")
    for encoder, decoder in LAYOUTS:
        falls, gains, curves = {}, {}, {}
        for seed in given.seeds.split(","):
            command = [os.environ.get("EVENKEEL", "evenkeel"), "probe", "gradients", given.study, "--json", "--threads", "1",
                       "--set", f"arch.residual={encoder}", "--set", f"arch.decoder_residual={decoder}",
                       "--set", f"train.seed={seed}"]
            answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            for stack in answer[0]["gradients"]["stacks"]:
                name = stack["stack"].split(".")[0]
                at = [s["at_input"] for s in stack["sublayers"]]
                falls.setdefault(name, []).append(math.log(at[0] / at[-1]))
                curves.setdefault(name, []).append([math.log(a) for a in at])
                for site, below, above in zip(stack["sublayers"], at, at[1:]):
                    kind = site["site"].split(".")[-1]
                    gains.setdefault(name, {}).setdefault(kind, []).append(math.log(below / above))
        for name, fall in falls.items():
            mean, half = stats.t_interval(fall)
            interval = None if half is None else [math.exp(mean - half), math.exp(mean + half)]
            per = {kind: math.exp(statistics.fmean(g)) for kind, g in gains[name].items()}
            print(f"| {encoder}/{decoder} | {name} | {math.exp(mean):.3g} | "
                  + ("-" if interval is None else f"[{interval[0]:.2g}, {interval[1]:.2g}]") + " | " + ", ".join(f"{k} {g:.3f}" for k, g in per.items()) + " |")
            summary[f"{encoder}/{decoder} {name}"] = {
                "first_over_last": math.exp(mean), "interval": interval,
                "per_sublayer": per,
                "at_input": [float(f"{math.exp(statistics.fmean(c)):.4g}") for c in zip(*curves[name])]}
    if given.summary:
        with open(given.summary, "w", encoding="utf-8") as out:
            json.dump(summary, out, indent=1)
            out.write("\n")


if __name__ == "__main__":
    main()
