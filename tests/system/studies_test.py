"""The scripts that make the tables of studies: their intervals, and what they refuse to count."""
import contextlib
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EVENKEEL = pathlib.Path(os.environ.get("EVENKEEL_BIN", ROOT / "build" / "release")) / "evenkeel"
sys.path.insert(0, str(ROOT / "studies" / "tools"))

import paired  # noqa: E402
import runs  # noqa: E402
import stats  # noqa: E402


class Files(unittest.TestCase):
    def test_every_study_passes_config_check(self):
        files = sorted((ROOT / "studies").rglob("*.toml"))
        self.assertGreaterEqual(len(files), 14)
        with tempfile.TemporaryDirectory() as folder:
            text = pathlib.Path(folder) / "text.txt"
            text.write_text("To be, or not to be, that is the question.\n" * 20000)
            for file in files:
                command = [EVENKEEL, "config", "check", file]
                study = tomllib.loads(file.read_text())
                if study.get("data", {}).get("kind") == "bytes":
                    command += ["--set", f"data.path={text}"]
                if study.get("train", {}).get("precision") == "bf16":
                    command += ["--set", "train.precision=fp32"]  # not every processor has bf16
                checked = subprocess.run(command, capture_output=True, text=True)
                self.assertEqual(checked.returncode, 0, f"{file}: {checked.stderr}")


class Paper(unittest.TestCase):
    """The paper's recipe, its price, and the page that compares it with the defaults."""

    STUDY = ROOT / "studies" / "paper" / "study.toml"

    def checked(self, *words):
        said = subprocess.run([EVENKEEL, "config", "check", *words, "--json"], check=True, stdout=subprocess.PIPE)
        return json.loads(said.stdout)

    def fields(self, config, prefix=""):
        for key, value in config.items():
            if isinstance(value, dict):
                yield from self.fields(value, f"{prefix}{key}.")
            else:
                yield prefix + key, value

    def rows(self, page):
        """Cells of the table rows that begin with a word in backticks."""
        for line in page.read_text().splitlines():
            if line.startswith("| `"):
                yield [cell.strip() for cell in line.strip("|").split("|")]

    def test_the_recipe_is_the_paper_s(self):
        # arXiv 2309.14322, section 2.
        study = self.checked(self.STUDY)
        self.assertEqual([cell["lr"] for cell in study["cells"][:7]], [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1])
        self.assertEqual([(size["size"], size["params"], size["cells"], size["tokens"]) for size in study["sizes"]],
                         [("2.4M", 2359296, 7, 7 * 13107200000), ("9.4M", 9437184, 7, 7 * 13107200000)])
        config = dict(self.fields(study["cells"][0]["config"]))
        for path, value in {"optim.algorithm": "adamw", "optim.beta1": 0.9, "optim.beta2": 0.95, "optim.eps": 1e-8,
                            "optim.decay_form": "independent", "optim.weight_decay": 1e-4, "optim.clip_norm": 1,
                            "optim.schedule": "cosine", "optim.warmup": "5000step", "optim.lr_floor": 1e-5,
                            "train.steps": 100000, "train.batch": 256, "arch.context": 512, "data.vocab": 32101,
                            "arch.residual": "pre_ln", "arch.norm": "layer_norm", "arch.bias": False,
                            "interventions.qk_norm": "per_head", "interventions.z_loss": 1e-4}.items():
            self.assertEqual(config[path], value, path)

    def test_it_is_priced(self):
        said = subprocess.run([EVENKEEL, "config", "check", self.STUDY], check=True, stdout=subprocess.PIPE, text=True).stdout
        self.assertIn("14 cells, 2.1e+19 FLOP", said)
        self.assertRegex(said, r"9\.4M +9\.4M +7 +91\.8G +1\.5e\+19 +\d+ (days|years) to \d+ (days|years)")
        self.assertRegex(said, r"About \d+ (days|years) to \d+ (days|years) on \d+ cores? of this machine")

    def test_prices_of_the_readme(self):
        rows = {row[0]: row for row in self.rows(self.STUDY.parent / "README.md") if len(row) == 4 and row[2].isdigit()}
        self.assertEqual(len(rows), 8)
        axis = json.dumps([name.strip("`") for name in rows])
        study = self.checked(self.STUDY, "--set", f"sweep.arch.size={axis}", "--set", "optim.lr=0.01")
        for size in study["sizes"]:
            _, _, params, flops = rows[f"`{size['size']}`"]
            self.assertEqual((size["params"], size["cells"]), (int(params), 1))
            self.assertEqual(f"{size['flops']:.1e}".replace("e+", "e"), flops, size["size"])

    def test_the_guide_lists_every_field_that_differs(self):
        recipe = dict(self.fields(self.checked(self.STUDY)["cells"][0]["config"]))
        default = dict(self.fields(self.checked()["cells"][0]["config"]))
        swept = {"optim.lr"}
        derived = {"data.fingerprint"}
        differs = {path for path in default if recipe[path] != default[path]} - swept - derived
        rows = {row[0].strip("`"): row[1:] for row in self.rows(ROOT / "docs" / "guide" / "paper_and_miniature.md")}
        self.assertEqual(set(rows), differs, "docs/guide/paper_and_miniature.md lists the fields that differ")
        for path, (paper, here, why) in rows.items():
            for said, value in ((paper, recipe[path]), (here, default[path])):
                word = said.strip("`")
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    self.assertAlmostEqual(float(word) / value, 1, delta=2e-3, msg=path)
                else:
                    self.assertEqual(word, str(value).lower() if isinstance(value, bool) else value, path)
            self.assertTrue(why, path)


class Intervals(unittest.TestCase):
    def test_quantiles_of_t_are_those_of_printed_tables(self):
        # To the three decimals that tables print; 15 to 18 had been taken for 14.
        table = {1: 12.706, 2: 4.303, 4: 2.776, 7: 2.365, 14: 2.145, 15: 2.131, 18: 2.101, 29: 2.045, 120: 1.980}
        for freedom, value in table.items():
            self.assertAlmostEqual(stats.t_quantile(freedom), value, delta=5.1e-4, msg=freedom)
        self.assertAlmostEqual(stats.t_quantile(1), math.tan(0.475 * math.pi), places=9)  # Cauchy, in closed form
        self.assertAlmostEqual(stats.t_quantile(4, 0.95), 2.131847, places=6)
        self.assertAlmostEqual(stats.t_quantile(1e6), 1.959966, places=5)

    def test_the_jackknife_of_a_mean_is_the_t_interval(self):
        values = [0.3, 1.1, -0.4, 2.0, 0.7, 0.2]
        mean, half = stats.t_interval(values)
        low, high = stats.jackknife(values, lambda v: sum(v) / len(v))
        self.assertAlmostEqual(low, mean - half, places=12)
        self.assertAlmostEqual(high, mean + half, places=12)

    def test_one_value_has_no_interval(self):
        self.assertEqual(stats.t_interval([2.0]), (2.0, None))
        self.assertIsNone(stats.jackknife([2.0], sum))


class Sweeps(unittest.TestCase):
    def setUp(self):
        keep = tempfile.TemporaryDirectory()
        self.addCleanup(keep.cleanup)
        self.sweep = pathlib.Path(keep.name) / "sweep"

    def write(self, planned, done, final_loss=0.5):
        for name in done:
            cell = self.sweep / "cells" / name
            cell.mkdir(parents=True)
            config = {"arch": {"residual": "pre_ln", "depth": 6}, "optim": {"lr": 0.1}, "data": {"pairs": {"symbols": 40}}}
            (cell / "manifest.json").write_text(json.dumps({"config": config, "data": {"h1": 3.6}}))
            (cell / "result.json").write_text(json.dumps(
                {"label": "finished", "final_loss": final_loss, "train_loss": final_loss, "steps": 1}))
            (cell / "metrics.jsonl").write_text('{"step":1,"loss/train/ce":3.5}\n')
        (self.sweep / "sweep.json").write_text(json.dumps({"cells": [{"hash": name} for name in planned]}))

    def refusal(self):
        said = io.StringIO()
        with contextlib.redirect_stderr(said), self.assertRaises(SystemExit) as ended:
            runs.load([self.sweep])
        self.assertEqual(ended.exception.code, 2)
        return said.getvalue()

    def test_a_loss_of_zero_is_a_loss(self):
        self.write(["aa"], ["aa"], final_loss=0.0)
        [run] = runs.load([self.sweep])
        self.assertEqual((run.loss, run.train_loss, run.converged()), (0.0, 0.0, True))

    def test_no_loss_is_none(self):
        self.write(["aa"], ["aa"], final_loss=None)
        [run] = runs.load([self.sweep])
        self.assertTrue(math.isnan(run.loss))
        self.assertFalse(run.converged())

    def test_cells_without_a_result_block(self):
        self.write(["aa", "bb", "cc"], ["aa", "bb"])  # cc was never begun
        self.assertIn("1 of 3 cells", self.refusal())
        (self.sweep / "cells" / "bb" / "result.json").unlink()  # bb was killed
        said = self.refusal()
        self.assertIn("2 of 3 cells", said)
        self.assertIn("such as bb", said)

    def test_a_cell_that_was_begun_and_belongs_no_more_blocks_too(self):
        self.write(["aa"], ["aa", "old"])
        self.assertEqual(len(runs.load([self.sweep])), 2)
        (self.sweep / "cells" / "old" / "result.json").unlink()
        self.assertIn("1 of 2 cells", self.refusal())

    def test_a_folder_that_is_no_sweep_is_refused(self):
        self.assertIn("no sweep", self.refusal())

    def test_pairs_are_of_one_seed(self):
        cells = []
        # Differences of 0.5, 0.7 and 0.9; seed 4 lacks one side.
        for arm, own in (("a", {1: 1.5, 2: 1.9, 3: 2.0, 4: 3.0}), ("b", {1: 1.0, 2: 1.2, 3: 1.1, 4: None})):
            for seed, loss in own.items():
                self.write([f"{arm}{seed}"], [f"{arm}{seed}"], final_loss=loss)
                cells.append({"hash": f"{arm}{seed}", "arm": arm, "lr": 0.1, "size": "d64", "seed": seed})
        (self.sweep / "sweep.json").write_text(json.dumps({"cells": cells}))
        mean, half, seeds, left = paired.difference(paired.outcomes(self.sweep, "a"), paired.outcomes(self.sweep, "b"))
        self.assertAlmostEqual(mean, 0.7)
        self.assertAlmostEqual(half, 4.302653 * 0.2 / math.sqrt(3), places=6)
        self.assertEqual((seeds, left), (3, [4]))
        with self.assertRaises(SystemExit):
            paired.outcomes(self.sweep, "c")

    def test_an_outcome_is_a_mean_over_the_last_tenth(self):
        self.write(["aa"], ["aa"])
        run = self.sweep / "cells" / "aa"
        lines = [{"step": step, "logits/out/mean": -float(step)} for step in range(10, 101, 5)]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        # Per head, the largest: 90 is not within the last tenth of 100 steps.
        heads = [{"step": step, "attn/layer00/logit_max": [1.0, float(step)]} for step in (90, 95, 100)]
        (run / "heads.jsonl").write_text("".join(json.dumps(line) + "\n" for line in heads))
        self.assertAlmostEqual(paired.outcome(runs.Run(run), "logits/out/mean"), -97.5)
        self.assertAlmostEqual(paired.outcome(runs.Run(run), "attn/layer00/logit_max", True), math.log10(97.5))
        with self.assertRaises(SystemExit):
            paired.outcome(runs.Run(run), "unknown")


class CommittedRows(unittest.TestCase):
    """Figures that pages under docs/results quote."""

    def table(self, script, *arguments):
        return subprocess.run([sys.executable, str(ROOT / "studies" / "tools" / script), *arguments], cwd=ROOT, check=True,
                              stdout=subprocess.PIPE, universal_newlines=True).stdout

    def test_depth(self):
        self.assertIn("mean of 6-6, 12-12, 18-18: +0.101 ± 0.142; +0.035 ± 0.009; +8.733 ± 3.443 (5 seeds)",
                      self.table("depth_table.py", "docs/results/admin_depth/rows.json"))

    def test_grid(self):
        said = self.table("grid_table.py", "docs/results/no_warmup_grid/rows.json")
        self.assertIn("+0.020 ± 0.007 nat of final validation loss", said)
        self.assertIn("+0.011 ± 0.015 nat of final validation loss", said)

    def test_optimisers(self):
        said = self.table("optimisers.py", "loss", "docs/results/adam_vs_sgd/rows.json")
        self.assertIn("admin: sgd less adam, 5 of 5 seeds finite with both: +0.196 ± 0.058", said)


if __name__ == "__main__":
    unittest.main()
