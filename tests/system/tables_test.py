"""evenkeel export --to: tables that other programs read, with every number a number."""
import csv
import importlib.util
import json
import math
import os
import sqlite3
import struct
import subprocess
import sys
import unittest

from program import BIN, ROOT, ProgramTest

sys.path.insert(0, os.path.join(ROOT, "python"))
import evenkeel  # noqa: E402

has_pandas = importlib.util.find_spec("pandas") is not None


class Tables(ProgramTest):
    def setUp(self):
        super().setUp()
        subprocess.run([os.path.join(BIN, "write_fixture"), self.path("s"), "two_sizes"], check=True)
        self.runs = {os.path.relpath(run.folder, self.path("s")): run for run in evenkeel.read(self.path("s"))}

    def export(self, to, out):
        return json.loads(self.evenkeel("export", "s", "--to", to, "-o", out, "--json")[0])

    def values(self):
        """(run, step, metric, head) -> value, of every record."""
        found = {}
        for name, run in self.runs.items():
            for record in run.metrics() + run.heads():
                for metric, value in record.items():
                    if metric == "step":
                        continue
                    for head, number in enumerate(value) if isinstance(value, list) else [(None, value)]:
                        found[name, record["step"], metric, head] = float(number)
        return found

    def same(self, a, b):
        self.assertEqual(len(a), len(b))
        for key, value in a.items():
            self.assertTrue(b[key] == value or (math.isnan(value) and math.isnan(b[key])), f"{key}: {value} and {b[key]}")

    def read_text(self, name):
        with open(self.path(name), encoding="utf-8") as source:
            return source.read()

    def test_csv(self):
        done = self.export("csv", "out")
        expected = self.values()
        self.assertEqual((done["runs"], done["values"]), (len(self.runs), len(expected)))
        with open(self.path("out", "records.csv"), newline="", encoding="utf-8") as source:
            rows = {(r["run"], int(r["step"]), r["metric"], int(r["head"]) if r["head"] else None): float(r["value"]) for r in csv.DictReader(source)}
        self.same(expected, rows)
        self.assertTrue(any(math.isnan(value) for value in rows.values()))
        with open(self.path("out", "runs.csv"), newline="", encoding="utf-8") as source:
            for row in csv.DictReader(source):
                facts = self.runs[row["run"]].facts
                self.assertEqual((row["arm"], float(row["lr"]), int(row["seed"]), row["state"]), (facts["arm"], facts["lr"], facts["seed"], facts["state"]))
                self.assertTrue(float(row["loss"]) == facts["loss"] or math.isnan(facts["loss"]))
        self.assertEqual(self.evenkeel("export", "s", "--to", "csv", "-o", "out", code=2)[1].count("is not replaced"), 1)
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith(".out")], [])
        self.evenkeel("export", "s", "--to", "csv", "-o", "slash/")
        self.assertTrue(os.path.exists(self.path("slash", "runs.csv")))
        self.write("mine.part", "somebody's")
        self.evenkeel("export", "s", "--to", "sqlite", "-o", "mine")
        self.assertEqual(self.read_text("mine.part"), "somebody's")

    @unittest.skipUnless(has_pandas, "pandas is not installed")
    def test_csv_in_pandas_has_columns_of_numbers(self):
        import pandas
        self.export("csv", "out")
        records, runs = pandas.read_csv(self.path("out", "records.csv")), pandas.read_csv(self.path("out", "runs.csv"))
        self.assertEqual(records["value"].dtype.kind, "f")
        self.assertEqual(runs["loss"].dtype.kind, "f")
        self.assertEqual(runs["seed"].dtype.kind, "i")
        self.assertEqual(records["value"].isna().sum(), sum(math.isnan(v) for v in self.values().values()))

    def test_sqlite(self):
        self.export("sqlite", "out.sqlite")
        database = sqlite3.connect(self.path("out.sqlite"))
        rows = database.execute("SELECT run, step, metric, head, value, nonfinite FROM records").fetchall()
        self.same(self.values(), {(run, step, metric, head): math.nan if word == "nan" else value for run, step, metric, head, value, word in rows})
        self.assertTrue(all((value is None) == (word == "nan") for *_, value, word in rows))
        typed = database.execute("SELECT DISTINCT typeof(value) FROM samples WHERE nonfinite = ''").fetchall()
        self.assertEqual(typed, [("real",)])
        lost = database.execute("SELECT run, loss, nonfinite FROM runs WHERE state = 'nonfinite'").fetchall()
        self.assertTrue(lost)
        for run, loss, nonfinite in lost:
            self.assertIsNone(loss)
            self.assertIn("loss=nan", nonfinite)
            self.assertTrue(math.isnan(self.runs[run].facts["loss"]))
        self.assertEqual(database.execute("SELECT count(*) FROM events WHERE kind = 'nonfinite'").fetchone()[0], len(lost))
        config, = database.execute("SELECT config FROM runs LIMIT 1").fetchone()
        self.assertIn("interventions", json.loads(config))
        self.assertEqual(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
        self.evenkeel("export", "s", "--to", "sqlite", "-o", "out.sqlite", code=2)

    def scalars(self, path):
        """Scalars of an event file, with both checksums checked: a reader that shares nothing with the writer."""
        def masked(data):
            crc = evenkeel.crc32c(data)
            return (((crc >> 15) | (crc << 17)) + 0xa282ead8) & 0xFFFFFFFF

        def varint(data, at):
            value = shift = 0
            while True:
                value |= (data[at] & 0x7F) << shift
                shift += 7
                at += 1
                if data[at - 1] < 0x80:
                    return value, at

        def fields(data):
            at = 0
            while at < len(data):
                tag, at = varint(data, at)
                if tag & 7 == 0:
                    value, at = varint(data, at)
                elif tag & 7 == 2:
                    size, at = varint(data, at)
                    value, at = data[at:at + size], at + size
                else:
                    size = {1: 8, 5: 4}[tag & 7]
                    value, at = data[at:at + size], at + size
                yield tag >> 3, value

        with open(path, "rb") as source:
            data = source.read()
        found, at, versions = [], 0, []
        while at < len(data):
            length, = struct.unpack_from("<Q", data, at)
            self.assertEqual(struct.unpack_from("<I", data, at + 8)[0], masked(data[at:at + 8]))
            event = data[at + 12:at + 12 + length]
            self.assertEqual(struct.unpack_from("<I", data, at + 12 + length)[0], masked(event))
            at += 16 + length
            parts = dict(fields(event))
            if 3 in parts:
                versions.append(parts[3])
            else:
                value = dict(fields(dict(fields(parts[5]))[1]))
                found.append((parts[2], value[1].decode(), struct.unpack("<f", value[2])[0]))
        self.assertEqual(versions, [b"brain.Event:2"])
        return found

    def test_tensorboard(self):
        self.export("tensorboard", "logs")
        self.assertEqual(len(os.listdir(self.path("logs"))), len(self.runs))
        by_hash = {run.facts["config_hash"][:8]: name for name, run in self.runs.items()}
        expected = self.values()
        name = sorted(os.listdir(self.path("logs")))[0]
        run = by_hash[name.split()[-1]]
        scalars = [s for s in self.scalars(self.path("logs", name, "events.out.tfevents.0.evenkeel")) if not s[1].startswith("event/")]
        self.assertEqual(len(scalars), sum(key[0] == run for key in expected))
        for step, tag, value in scalars:
            metric, _, head = tag.rpartition("/head")
            right = expected[run, step, metric, int(head)] if metric else expected[run, step, tag, None]
            self.assertTrue(math.isclose(value, right, rel_tol=1e-6) or (math.isnan(value) and math.isnan(right)), f"{tag}: {value}, {right}")

    def test_errors(self):
        self.assertIn("csv", self.evenkeel("export", "s", "--to", "xls", "-o", "x", code=2)[1])
        self.evenkeel("export", "s", "--to", "csv", "--fold", "-o", "x", code=2)
        os.mkdir(self.path("empty"))
        self.assertIn("holds no run", self.evenkeel("export", "empty", "--to", "csv", "-o", "x", code=2)[1])
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("x")], [], "nothing is left behind")


if __name__ == "__main__":
    unittest.main()
