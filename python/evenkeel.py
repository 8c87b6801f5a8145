"""Reads folders of evenkeel runs, and writes runs that evenkeel lists, analyses and reports, from any trainer.

One file, standard library only (pandas where a frame is asked for): copy it beside your code.

    import evenkeel

    for run in evenkeel.read("runs/demo"):                    # every run at or below the folder
        steps, losses = run.series("loss/train/ce")
    table = evenkeel.frame(evenkeel.read("runs/demo"))         # pandas: a row for each run

    with evenkeel.Writer("runs/mine/lr0.1-seed1", arm="qk_norm", lr=0.1, seed=1, size="base", params=85_000_000) as run:
        run.log(step, {"loss/train/ce": 2.31})                 # names of metrics: docs/reference/metrics.md
        run.heads(step, {"attn/layer00/entropy": [3.1, 2.9]})

The files are described in docs/formats/run_directory.md. Losses are in nats per token. Numbers that are not finite are null
there and named in "nonfinite"; here they are what they are: nan, inf, -inf.
"""
import hashlib
import json
import math
import os
import pathlib
import statistics
import tempfile

__version__ = "0.1.0"
FORMAT = 1
NOT_LEARNED_MARGIN = 0.05  # nat: a final loss this close to the unigram entropy learned nothing


class Error(Exception):
    """What cannot be read or written, in one sentence."""


# ---------------------------------------------------------------- numbers that JSON does not have

def restored(item):
    """A parsed object with its numbers that are not finite in their place: object_hook of json.loads."""
    names = item.pop("nonfinite", "")
    for entry in names.split() if isinstance(names, str) else ():
        path, _, word = entry.rpartition("=")
        key, *indices = path.replace("]", "").split("[")
        holder, at = item, key
        for index in indices:
            holder, at = holder[at], int(index)
        holder[at] = float(word)
    return item


def _named(record):
    """A copy of a flat record with null for what is not finite, and its key "nonfinite"."""
    words = []

    def plain(value, path):
        if isinstance(value, (list, tuple)):
            return [plain(item, f"{path}[{i}]") for i, item in enumerate(value)]
        if isinstance(value, bool) or not isinstance(value, float) or math.isfinite(value):
            return value
        words.append(f"{path}={'nan' if math.isnan(value) else 'inf' if value > 0 else '-inf'}")
        return None

    out = {key: plain(value, key) for key, value in sorted(record.items())}
    out["nonfinite"] = " ".join(words)
    return out


# ---------------------------------------------------------------- lines that check

def _table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _table()


def crc32c(data):
    """CRC-32C (Castagnoli) of bytes."""
    crc, table = 0xFFFFFFFF, _CRC
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def encode(record):
    """A record as a line of a line file, without the newline."""
    body = json.dumps(_named(record), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return f'{body[:-1]},"crc":"{crc32c(body.encode()):08x}"}}'


def decode(line, check=True):
    """The record of a line; None where the line is torn or does not check."""
    head, separator, tail = line.rpartition(',"crc":"')
    if not separator or len(tail) != 10 or not tail.endswith('"}'):
        return None
    body = head + "}"
    if check and f"{crc32c(body.encode()):08x}" != tail[:8]:
        return None
    try:
        record = json.loads(body, object_hook=restored)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


# ---------------------------------------------------------------- reading

class Run:
    """One run directory. `facts`: run, arm, size, params, lr, seed, steps, state, loss, train_loss, l0, h1. `config`: the
    resolved configuration, empty for runs that evenkeel did not train. `damage`: sentences on lines that did not check, filled as
    files are read."""

    def __init__(self, folder, arms=None, check=True):
        self.folder, self.check, self.damage = pathlib.Path(folder), check, []
        manifest = _read_json(self.folder / "manifest.json")
        self.config = manifest.get("config", {})
        result = _read_json(self.folder / "result.json") if (self.folder / "result.json").exists() else {}
        imported, config = manifest.get("imported"), self.config
        own = imported or {"size": config.get("arch", {}).get("size"), "params": None,
                           "lr": config.get("optim", {}).get("lr"), "seed": config.get("train", {}).get("seed")}
        name = (arms or {}).get(manifest["config_hash"]) or manifest["arm"] or (imported or {}).get("arm") or "baseline"
        self.facts = {
            "run": str(self.folder), "arm": name, "size": own["size"], "params": own["params"], "lr": own["lr"], "seed": own["seed"],
            "steps": result.get("steps", config.get("train", {}).get("steps")), "state": result.get("label", "unfinished"),
            "loss": result.get("final_loss"), "train_loss": result.get("train_loss"), "l0": result.get("l0"),
            "h1": manifest.get("data", {}).get("h1"), "config_hash": manifest["config_hash"]}

    def records(self, name):
        """Records of a line file: "metrics", "heads", "events" or "timing"."""
        path, found, bad = self.folder / f"{name}.jsonl", [], 0
        if not path.exists():
            return found
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                record = decode(line[:-1], self.check) if line.endswith("\n") else None
                if record is None:
                    bad += 1
                else:
                    found.append(record)
        if bad:
            self.damage.append(f"{path}: {bad} lines do not check and are left out")
        return found

    def metrics(self):
        return self.records("metrics")

    def heads(self):
        return self.records("heads")

    def events(self):
        return self.records("events")

    def series(self, metric):
        """Steps and values of a metric, from metrics.jsonl or heads.jsonl; a value per head is a list."""
        for name in ("metrics", "heads"):
            found = [(record["step"], record[metric]) for record in self.records(name) if metric in record]
            if found:
                return [step for step, _ in found], [value for _, value in found]
        return [], []

    def frame(self, name="metrics"):
        """A line file as a pandas frame, a column for each metric."""
        import pandas
        return pandas.DataFrame.from_records(self.records(name))

    def heads_frame(self):
        """heads.jsonl as a long pandas frame: step, metric, head (NaN for what has one value), value."""
        import pandas
        rows = []
        for record in self.heads():
            for metric, value in record.items():
                if metric == "step":
                    continue
                values = enumerate(value) if isinstance(value, list) else [(None, value)]
                rows.extend((record["step"], metric, head, number) for head, number in values)
        return pandas.DataFrame(rows, columns=["step", "metric", "head", "value"])


def read(folder, check=True):
    """Every run at or below `folder`, in order of path. check=False leaves out the checksums of lines, which take most of the
    time; `evenkeel verify` looks at them too."""
    folder = pathlib.Path(folder)
    places = sorted(path.parent for path in folder.rglob("manifest.json"))
    if not places:
        raise Error(f"{folder} holds no run: no manifest.json in it or below")
    arms = {}
    for sweep in [folder / "sweep.json", *folder.rglob("sweep.json")]:
        if sweep.exists():
            arms.update({cell["hash"]: cell["arm"] for cell in _read_json(sweep)["cells"]})
    return [Run(place, arms, check) for place in places]


def frame(runs):
    """The facts of runs as a pandas frame, a row for each."""
    import pandas
    return pandas.DataFrame.from_records([run.facts for run in runs])


def _read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_hook=restored)
    except FileNotFoundError:
        raise Error(f"{path} is not there") from None
    except ValueError as error:
        raise Error(f"{path} is no JSON: {error}") from None


# ---------------------------------------------------------------- writing

def _write_json(path, document):
    """Atomic: the old file or the whole new one is there."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(document, out, indent=2, sort_keys=True, allow_nan=False)
            out.write("\n")
            out.flush()
            os.fsync(out.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _finite(value):
    return None if value is None or not math.isfinite(value) else float(value)


class Writer:
    """A run of any trainer, as evenkeel reads it. `arm`: what sets it apart but size, learning rate and seed. h1: unigram entropy
    of the validation text, nat; with it a run that learned nothing is told. Use it in a with statement, or call finish()."""

    def __init__(self, folder, *, arm, lr, seed=0, size="", params=-1, h1=None, source=""):
        self.folder = pathlib.Path(folder)
        if self.folder.exists() and any(self.folder.iterdir()):
            raise Error(f"{self.folder} is there and not empty; choose another folder")
        if not (isinstance(lr, (int, float)) and math.isfinite(lr) and lr > 0):
            raise Error(f"lr must be a number above 0, got {lr!r}")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.h1, self.done = h1, False
        self._train, self._valid, self._last, self._nonfinite = [], [], 0, None
        facts = {"source": source or str(self.folder.name), "arm": arm, "size": size, "params": int(params), "lr": float(lr), "seed": int(seed)}
        identity = json.dumps([self.folder.name, facts], sort_keys=True)
        _write_json(self.folder / "manifest.json", {
            "config_hash": hashlib.sha256(identity.encode()).hexdigest()[:16], "arm": arm, "imported": facts, "environment": {},
            "data": {"name": "imported", "h1": _finite(h1), "bigram_entropy": None, "floor": None, "train_tokens": -1},
            "versions": {"evenkeel": __version__, "format": FORMAT}})
        self._files = {name: open(self.folder / f"{name}.jsonl", "w", encoding="utf-8") for name in ("metrics", "heads", "events")}

    def _write(self, name, step, values):
        if self.done:
            raise Error(f"{self.folder} has been finished")
        record = {"step": int(step)}
        for key, value in values.items():
            if key in ("step", "crc", "nonfinite") or any(c in key for c in " =["):
                raise Error(f"{key!r} is no name for a metric")
            several = hasattr(value, "__len__") and getattr(value, "ndim", 1) > 0  # a tensor of no dimension is a number
            record[key] = [float(v) for v in value] if several else float(value)
        self._files[name].write(encode(record) + "\n")
        self._files[name].flush()

    def log(self, step, values):
        """Numbers of one step. "loss/train/ce" and "loss/valid/ce" are the losses, in nats; validation at step 0 is l0."""
        self._write("metrics", step, values)
        self._last = max(self._last, int(step))
        for key, series in (("loss/train/ce", self._train), ("loss/valid/ce", self._valid)):
            if key in values:
                series.append((int(step), float(values[key])))
                if not math.isfinite(series[-1][1]):
                    self._nonfinite = self._nonfinite if self._nonfinite is not None else int(step)
                else:
                    self._nonfinite = None

    def heads(self, step, values):
        """Numbers per head of a layer, such as "attn/layer00/entropy": a list with one of each head."""
        self._write("heads", step, values)

    def event(self, step, kind):
        """What happened: spike, relapse, collapse."""
        with_kind = encode({"step": int(step), "kind": str(kind)})
        self._files["events"].write(with_kind + "\n")

    def finish(self, final_loss=None):
        """Ends the run. final_loss: the last validation loss where it is not given; without one the mean of the last training losses."""
        if self.done:
            return
        tail = [loss for step, loss in self._train if step > 0.9 * self._last]
        train_loss = statistics.fmean(tail) if tail else None
        if final_loss is None:
            final_loss = self._valid[-1][1] if self._valid and self._valid[-1][0] > 0 else train_loss
        if final_loss is None:
            self._close()
            raise Error(f"{self.folder} has no loss: log loss/valid/ce or loss/train/ce, or give final_loss")
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        self._close()
        lost = self._nonfinite is not None or not math.isfinite(final_loss)
        label = "nonfinite" if lost else "not_learned" if self.h1 is not None and final_loss >= self.h1 - NOT_LEARNED_MARGIN else "finished"
        result = {"label": label, "steps": self._last, "seen_tokens": 0, "final_loss": _finite(final_loss), "train_loss": _finite(train_loss),
                  "l0": _finite(self._valid[0][1]) if self._valid and self._valid[0][0] == 0 else None, "relapsed": False, "digest": {}}
        if not math.isfinite(final_loss):
            result["nonfinite"] = "final_loss=" + ("nan" if math.isnan(final_loss) else "inf" if final_loss > 0 else "-inf")
        if self._nonfinite is not None:
            result["nonfinite_step"] = self._nonfinite
        _write_json(self.folder / "result.json", result)
        self.done = True

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.finish()
        else:
            self._close()

    def _close(self):
        for file in self._files.values():
            file.close()
