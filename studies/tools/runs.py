"""Runs of sweeps, read from their folders (docs/formats/run_directory.md). Standard library only."""
import json
import math
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
from evenkeel import restored  # noqa: E402

WINDOW = 20  # steps that a mean training loss is over


def number(value):
    """As a float; nan where it is not known. Words such as "nan" are of files of earlier versions."""
    return math.nan if value is None else float(value)


class Run:
    """One finished run; losses in nats per token, nan where not finite."""

    def __init__(self, folder):
        self.folder = folder
        manifest = json.loads((folder / "manifest.json").read_text(), object_hook=restored)
        result = json.loads((folder / "result.json").read_text(), object_hook=restored)
        self.config, self.h1 = manifest["config"], number(manifest["data"]["h1"])
        self.label, self.loss = result["label"], number(result["final_loss"])
        self.train_loss, self.steps = number(result["train_loss"]), result["steps"]
        with open(folder / "metrics.jsonl", encoding="utf-8") as source:
            lines = [json.loads(line, object_hook=restored) for line in source]
        self.curve = [number(line["loss/train/ce"]) for line in lines if "loss/train/ce" in line]

    def __getitem__(self, path):
        value = self.config
        for key in path.split("."):
            value = value.get(key) if value is not None else None
        return value

    def series(self, metric):
        """Steps and values of a metric, in order; of what has a value per head, the largest."""
        found = []
        for name in ("metrics.jsonl", "heads.jsonl"):
            with open(self.folder / name, encoding="utf-8") as source:
                for line in source:
                    line = json.loads(line, object_hook=restored)
                    if metric in line:
                        value = line[metric]
                        found.append((line["step"], max(map(number, value)) if isinstance(value, list) else number(value)))
        return found

    def smooth(self):
        """Means over the last WINDOW steps, from step WINDOW on."""
        return [statistics.fmean(self.curve[i - WINDOW:i]) for i in range(WINDOW, len(self.curve) + 1)]

    def converged(self, target=1.0):
        return self.label == "finished" and self.loss <= target

    def diverged(self):
        """Not finite; or training loss at the end above 0.9 ln V; or 1.5 times its minimum so far for 200 steps."""
        vocab = self["data.pairs.symbols"] + 4
        if self.label == "nonfinite" or not self.train_loss <= 0.9 * math.log(vocab):
            return True
        least, above = math.inf, 0
        for loss in self.smooth():
            least = min(least, loss)
            above = above + 1 if loss > 1.5 * least else 0
            if above == 200:
                return True
        return False

    def steps_to(self, target=1.0):
        """First step whose mean training loss is at most `target`; None if there is none."""
        return next((i + WINDOW for i, loss in enumerate(self.smooth()) if loss <= target), None)


def load(folders):
    """All runs of the sweeps in `folders`, by folder name of the run. A cell without a result blocks them all: the program
    ends with 2, because a share or a mean over the cells that happen to be there would be one of another sample."""
    found, missing = [], []
    for folder in map(pathlib.Path, folders):
        cells = folder / "cells"
        names = {cell.name for cell in cells.glob("*") if cell.is_dir()}
        if (folder / "sweep.json").exists():
            names |= {cell["hash"] for cell in json.loads((folder / "sweep.json").read_text())["cells"]}
        if not names:
            print(f"{folder} holds no sweep: expected the folder that `evenkeel sweep --out` wrote", file=sys.stderr)
            sys.exit(2)
        lacking = sorted(name for name in names if not (cells / name / "result.json").exists())
        if lacking:
            missing.append(f"{len(lacking)} of {len(names)} cells of {folder} have no result, such as {lacking[0]}")
        else:
            found += [Run(cells / name) for name in sorted(names)]
    if missing:
        print("; ".join(missing) + ": finish the sweep with the command that began it, or remove the folders of cells that "
              "are not wanted", file=sys.stderr)
        sys.exit(2)
    return found


def scheme(run):
    """arch.residual, or encoder/decoder where the decoder has another."""
    decoder = run["arch.decoder_residual"]
    return run["arch.residual"] if decoder in (None, "auto", run["arch.residual"]) else f"{run['arch.residual']}/{decoder}"


def rows(all_runs):
    """What is kept of each run: enough to make the tables again."""
    return [{"depth": r["arch.depth"], "scheme": scheme(r), "optimiser": r["optim.algorithm"], "lr": r["optim.lr"],
             "beta2": r["optim.beta2"], "seed": r["train.seed"], "label": r.label, "converged": r.converged(),
             "diverged": r.diverged(), "loss": r.loss if math.isfinite(r.loss) else None,
             "train_loss": r.train_loss if math.isfinite(r.train_loss) else None,
             "steps_to_1_nat": r.steps_to()} for r in all_runs]


def write_rows(path, all_rows):
    """One row a line: small and good to compare."""
    with open(path, "w", encoding="utf-8") as out:
        out.write("[\n" + ",\n".join(json.dumps(row) for row in all_rows) + "\n]\n")
