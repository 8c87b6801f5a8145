"""python/evenkeel.py: what it reads is what the program says, and what it writes the program reads."""
import importlib.util
import json
import math
import os
import subprocess
import sys
import unittest

from program import BIN, ROOT, ProgramTest

sys.path.insert(0, os.path.join(ROOT, "python"))
import evenkeel  # noqa: E402

has_pandas = importlib.util.find_spec("pandas") is not None
has_torch = importlib.util.find_spec("torch") is not None


def same(a, b):
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


class Reading(ProgramTest):
    def setUp(self):
        super().setUp()
        subprocess.run([os.path.join(BIN, "write_fixture"), self.path("s"), "two_sizes"], check=True)

    def test_facts_are_those_of_ls(self):
        listed = json.loads(self.evenkeel("ls", "s", "--json")[0], object_hook=evenkeel.restored)
        runs = evenkeel.read(self.path("s"))
        self.assertEqual(len(runs), len(listed))
        self.assertTrue(any(run.facts["state"] == "nonfinite" for run in runs))
        for run, said in zip(runs, listed):
            self.assertEqual(run.facts["run"], os.path.join(self.folder, said["run"]))
            for ours, theirs in (("arm", "arm"), ("size", "size"), ("lr", "lr"), ("seed", "seed"), ("state", "state"), ("steps", "steps"),
                                 ("loss", "loss"), ("l0", "l0"), ("config_hash", "config_hash")):
                self.assertTrue(same(run.facts[ours], said[theirs]), f"{ours}: {run.facts[ours]} and {said[theirs]}")

    def test_records_have_their_numbers(self):
        lost = next(run for run in evenkeel.read(self.path("s")) if run.facts["state"] == "nonfinite")
        steps, losses = lost.series("loss/train/ce")
        self.assertEqual(steps[0], 1)
        self.assertTrue(math.isnan(losses[-1]), "a diverged loss is no missing one")
        _, heads = lost.series("attn/layer00/entropy")
        self.assertIsInstance(heads[0], list)
        self.assertEqual(lost.series("no/such/metric"), ([], []))
        self.assertEqual(lost.events()[-1]["kind"], "nonfinite")
        self.assertEqual(lost.damage, [])

    def test_lines_that_do_not_check_are_said(self):
        run = evenkeel.read(self.path("s"))[0]
        file = run.folder / "metrics.jsonl"
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content + b'{"step":9')
        self.assertLess(len(run.metrics()), 301)
        self.assertEqual(len(run.damage), 1)
        self.assertIn("2 lines do not check", run.damage[0])

    def test_a_folder_without_runs_is_an_error(self):
        os.mkdir(self.path("empty"))
        with self.assertRaisesRegex(evenkeel.Error, "holds no run"):
            evenkeel.read(self.path("empty"))

    @unittest.skipUnless(has_pandas, "pandas is not installed")
    def test_frames(self):
        runs = evenkeel.read(self.path("s"))
        facts = evenkeel.frame(runs)
        self.assertEqual(len(facts), len(runs))
        self.assertEqual(facts["loss"].dtype.kind, "f")
        self.assertEqual(facts.groupby("arm").size().nunique(), 2, "one cell of an arm is left out")
        metrics = runs[0].frame()
        self.assertEqual(metrics["loss/train/ce"].dtype.kind, "f")
        heads = runs[0].heads_frame()
        self.assertEqual(set(heads.columns), {"step", "metric", "head", "value"})
        entropy = heads[heads.metric == "attn/layer00/entropy"]
        self.assertEqual(len(entropy["head"].unique()), runs[0].config["arch"]["heads"])


class Writing(ProgramTest):
    def write_run(self, name="runs/a", **facts):
        with evenkeel.Writer(self.path(name), **{"arm": "mine", "lr": 0.1, "seed": 3, "size": "base", "params": 1000, **facts}) as run:
            run.log(0, {"loss/valid/ce": 5.0})
            for step in range(1, 101):
                run.log(step, {"loss/train/ce": 5.0 / step, "grad/all/norm": math.inf if step == 7 else 1.5})
                if step % 10 == 0:
                    run.heads(step, {"attn/layer00/entropy": [2.0, math.nan], "attn/layer00/logit_max": [1, step]})
            if has_torch:
                import torch
                run.log(100, {"extra/all/zero_dim": torch.tensor(1.5)})
            run.event(50, "spike")
            run.log(100, {"loss/valid/ce": 0.25})

    def test_checksum(self):
        self.assertEqual(evenkeel.crc32c(b"123456789"), 0xE3069283)

    def test_the_program_reads_it(self):
        self.write_run()
        self.write_run("runs/b", arm="other", lr=0.3)
        (entry, other) = json.loads(self.evenkeel("ls", "runs", "--json")[0])
        self.assertEqual((entry["arm"], entry["size"], entry["params"], entry["lr"], entry["seed"]), ("mine", "base", 1000, 0.1, 3))
        self.assertEqual((entry["state"], entry["steps"], entry["loss"], entry["l0"]), ("finished", 100, 0.25, 5.0))
        self.assertEqual(other["arm"], "other")
        self.assertEqual(entry["damage"], [])
        self.evenkeel("verify", "runs")
        shown = json.loads(self.evenkeel("show", "runs/a", "--json")[0], object_hook=evenkeel.restored)
        self.assertEqual(shown["label"] if "label" in shown else shown["result"]["label"], "finished")
        self.evenkeel("report", "runs")
        document = self.document("runs/report.html")
        cell = next(c for c in document["cells"] if c["arm"] == "mine")
        self.assertEqual(cell["spikes"], 1)
        self.assertEqual(cell["logit_peak"], 100)
        self.assertEqual(cell["attention"][0]["logit"]["values"][-1], 100)
        back = evenkeel.read(self.path("runs"))[0]
        self.assertEqual(back.series("grad/all/norm")[1][6], math.inf)
        self.assertTrue(math.isnan(back.series("attn/layer00/entropy")[1][0][1]))

    def document(self, name):
        with open(self.path(name), encoding="utf-8") as source:
            page = source.read()
        begin = page.index('id="data">') + len('id="data">')
        return json.loads(page[begin:page.index("</script>", begin)], object_hook=evenkeel.restored)

    def test_labels(self):
        for name, losses, h1, label in (("fine", [4.0, 2.0], 4.0, "finished"), ("flat", [4.0, 3.97], 4.0, "not_learned"),
                                        ("lost", [4.0, math.nan], None, "nonfinite"), ("back", [math.nan, 2.0], None, "finished")):
            with evenkeel.Writer(self.path("r", name), arm="a", lr=0.1, h1=h1) as run:
                for step, loss in enumerate(losses, 1):
                    run.log(step, {"loss/train/ce": loss, "loss/valid/ce": loss})
            entry, = json.loads(self.evenkeel("ls", os.path.join("r", name), "--json")[0], object_hook=evenkeel.restored)
            self.assertEqual(entry["state"], label, name)
            self.assertTrue(same(entry["loss"], losses[-1]), name)

    def test_what_is_cut_off_is_unfinished(self):
        with self.assertRaises(KeyboardInterrupt):
            with evenkeel.Writer(self.path("r"), arm="a", lr=0.1) as run:
                run.log(1, {"loss/train/ce": 3.0})
                raise KeyboardInterrupt
        entry, = json.loads(self.evenkeel("ls", "r", "--json")[0])
        self.assertEqual(entry["state"], "interrupted")
        self.assertEqual(evenkeel.read(self.path("r"))[0].facts["state"], "unfinished")

    def test_errors(self):
        self.write_run()
        with self.assertRaisesRegex(evenkeel.Error, "not empty"):
            self.write_run()
        with self.assertRaisesRegex(evenkeel.Error, "above 0"):
            self.write_run("x", lr=math.nan)
        with self.assertRaisesRegex(evenkeel.Error, "no name for a metric"):
            with evenkeel.Writer(self.path("y"), arm="a", lr=0.1) as run:
                run.log(1, {"a b": 1})
        with self.assertRaisesRegex(evenkeel.Error, "has no loss"):
            with evenkeel.Writer(self.path("z"), arm="a", lr=0.1) as run:
                run.log(1, {"x": 1})

    @unittest.skipUnless(has_torch, "PyTorch is not installed")
    def test_the_example_is_analysed_and_reported(self):
        subprocess.run([sys.executable, os.path.join(ROOT, "python", "example_pytorch.py"), self.path("mine")], check=True)
        self.evenkeel("report", "mine")
        document = self.document("mine/report.html")
        self.assertEqual(len(document["cells"]), 4)
        for cell in document["cells"]:
            self.assertEqual([len(row) for row in cell["attention"][0]["end_entropy"]], [4, 4])
            self.assertTrue(all(0 <= value <= 1 for row in cell["attention"][0]["end_entropy"] for value in row))
        losses = {cell["lr"]: cell["loss"] for cell in document["cells"]}
        self.assertLess(losses[0.01], losses[0.1])


if __name__ == "__main__":
    unittest.main()
