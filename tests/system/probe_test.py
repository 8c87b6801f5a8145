"""What `evenkeel probe` says of runs and studies, that it leaves runs as they are, and its errors."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from program import EVENKEEL, TRAINER, ProgramTest

STUDY = """[arch]
width = 16
depth = 2
heads = 2
context = 32
[data]
valid_tokens = 1024
[train]
batch = 4
steps = 12
precision = "fp32"
checkpoint_every = "6step"
keep_checkpoints = 2
"""


def contents(folder):
    return {str(f.relative_to(folder)): (f.read_bytes(), f.stat().st_mtime_ns) if f.is_file() else None
            for f in sorted(pathlib.Path(folder).rglob("*"))}


class Probe(ProgramTest):
    trainer = TRAINER

    @classmethod
    def setUpClass(cls):
        cls.made = tempfile.mkdtemp(prefix="evenkeel-")
        cls.addClassCleanup(shutil.rmtree, cls.made, True)
        study = pathlib.Path(cls.made, "study.toml")
        study.write_text(STUDY + '[sweep]\n"optim.lr" = [0.01, 0.03]\n')
        subprocess.run([EVENKEEL, "sweep", str(study), "--out", "s"], cwd=cls.made, check=True, capture_output=True,
                       env=dict(os.environ, EVENKEEL_TRAIN=TRAINER))

    def setUp(self):
        super().setUp()
        shutil.copytree(os.path.join(self.made, "s"), self.path("s"))
        self.run_a, self.run_b = (os.path.join("s", "cells", name) for name in sorted(os.listdir(self.path("s", "cells"))))

    def answers(self, *words):
        return json.loads(self.evenkeel("probe", *words, "--json")[0])

    def refusal(self, *words):
        """The one sentence of a call that is wrong, whichever of the two programs says it."""
        stdout, stderr = self.evenkeel("probe", *words, code=2)
        self.assertEqual(stdout, "")
        self.assertEqual(len(stderr.splitlines()), 1, stderr)
        return stderr.split(": ", 1)[1]

    def test_sharpness_of_every_checkpoint_feeds_predictors(self):
        before = contents(self.path("s"))
        stdout, _ = self.evenkeel("probe", "sharpness", "s", "--step", "all", "--json")
        self.assertEqual(contents(self.path("s")), before)
        self.assertEqual(self.evenkeel("probe", "sharpness", "s", "--step", "all", "--json")[0], stdout)
        answers = json.loads(stdout)
        self.assertEqual([(a["run"], a["step"]) for a in answers],
                         [(run, step) for run in (self.run_a, self.run_b) for step in (6, 12)])
        self.assertEqual(len(stdout.splitlines()), 6, "an answer per line")
        for a in answers:
            s = a["sharpness"]
            self.assertEqual(a["batch"], {"sequences": 8, "tokens": 256})
            self.assertAlmostEqual(s["hessian"]["threshold"] * a["lr"], 2)
            self.assertAlmostEqual(s["preconditioned"]["threshold"] * a["lr"], 38)
            self.assertEqual(s["ratio"], s["preconditioned"]["ratio"])
            self.assertGreater(s["eigenvalue"], 0)
            self.assertLessEqual(s["hessian"]["residual"], 0.2)
        self.write("sharpness.json", stdout)
        found = json.loads(self.evenkeel("predictors", "s", "--sharpness", "sharpness.json", "--json")[0])["sharpness"]
        self.assertEqual((found["points"], found["unmatched"]), (4, 0))

    def test_newest_one_step_and_options(self):
        newest, = self.answers("sharpness", self.run_a)
        self.assertEqual(newest["step"], 12)
        earlier, = self.answers("sharpness", self.run_a, "--step", "6", "--batch", "3", "--iterations", "2",
                                "--precision", "fp32")
        self.assertEqual((earlier["step"], earlier["batch"]["tokens"], earlier["precision"]), (6, 96, "fp32"))
        self.assertEqual(earlier["sharpness"]["hessian"]["iterations"], 2)

    def test_a_study_is_measured_at_initialisation(self):
        self.write("study.toml", STUDY)
        answer, = self.answers("sharpness", "study.toml", "--set", "optim.algorithm=sgd")
        self.assertIsNone(answer["run"])
        self.assertEqual((answer["step"], answer["optimiser"]), (0, "sgd"))
        self.assertEqual(answer["sharpness"]["ratio"], answer["sharpness"]["hessian"]["ratio"])
        self.assertEqual(answer["sharpness"]["why"], "sgd has no preconditioner")
        self.assertEqual(os.listdir(self.folder).count("study.toml"), 1)
        answer, = self.answers("spectra", "study.toml", "--set", "interventions.sigma_reparam=on")
        for matrix in answer["spectra"]["matrices"]:
            if "mlp" in matrix["parameter"]:
                self.assertAlmostEqual(matrix["sigma"], 1, places=5)

    def test_spectra(self):
        answer, = self.answers("spectra", self.run_a)
        spectra = answer["spectra"]
        self.assertEqual(len(spectra["matrices"]), 2 * 6 + 2)
        for matrix in spectra["matrices"]:
            self.assertLessEqual(matrix["residual"], 1e-8)
            self.assertTrue(1 <= matrix["stable_rank"] <= min(matrix["rows"], matrix["cols"]), matrix)
        self.assertEqual([len(layer["heads"]) for layer in spectra["attention"]], [2, 2])
        for layer in spectra["attention"]:
            for head in layer["heads"]:
                self.assertFalse(head["bound_violated"])
                # Rounding may take it below 0 where attention is all but uniform; so much is allowed (theorem 3.1's check).
                self.assertGreaterEqual(head["entropy_slack"], -1e-5)

    def test_dependency_of_a_run_and_of_a_deep_model_at_initialisation(self):
        before = contents(self.path("s"))
        answer, = self.answers("dependency", self.run_a)
        self.assertEqual(contents(self.path("s")), before)
        stack, = answer["dependency"]["stacks"]
        self.assertEqual((answer["dependency"]["scheme"], stack["stack"]), ("pre_ln", "blocks"))
        self.assertEqual([s["site"] for s in stack["sublayers"]],
                         ["blocks.0.attn", "blocks.0.mlp", "blocks.1.attn", "blocks.1.mlp"])
        self.assertEqual([len(s["beta"]) for s in stack["sublayers"]], [2, 3, 4, 5])
        for s in stack["sublayers"]:
            self.assertAlmostEqual(s["sum_of_squares"], sum(b * b for b in s["beta"]))
            # Without a norm after adding.
            self.assertAlmostEqual(s["beta"][-1] ** 2, s["dependency"])
        text = self.evenkeel("probe", "dependency", "--set", "arch.depth=20", "--set", "arch.width=16", "--set",
                             "arch.heads=2", "--set", "arch.residual=post_ln", "--set", "arch.context=32")[0]
        self.assertIn("blocks.19.mlp", text)
        self.assertIn("...", text)

    def test_output_change_of_depth(self):
        self.write("study.toml", STUDY)
        deep = ["study.toml", "--set", "arch.depth=6", "--set", "arch.residual=admin", "--set", "arch.admin.start=o_log_n"]
        random, = self.answers("output-change", *deep, "--seeds", "2")
        random = random["output-change"]
        self.assertEqual((random["change"], random["size"], random["seeds"], random["matrices"]), ("random", 1e-4, 2, 36))
        stack, = random["stacks"]
        self.assertEqual(len(stack["sublayers"]), 12)
        self.assertGreater(stack["output"], stack["sublayers"][0]["change"])
        self.assertGreater(stack["growth"]["exponent"], 0)
        gradient, = self.answers("output-change", self.run_a, "--change", "gradient", "--size", "2e-6")
        self.assertEqual((gradient["output-change"]["change"], gradient["output-change"]["size"]), ("gradient", 2e-6))
        self.assertIn("10 sub-layers", gradient["output-change"]["stacks"][0]["why"])
        self.assertIn("leave one of them out", self.refusal("output-change", self.run_a, "--change", "gradient", "--seeds", "2"))

    def test_gradients_beside_updates(self):
        answer, = self.answers("gradients", self.run_a)
        gradients = answer["gradients"]
        self.assertEqual(len(gradients["matrices"]), 2 * 6 + 2)
        inside = [m for m in gradients["matrices"] if m["in_block"]]
        for key in ("gradient", "direction"):
            self.assertEqual(max(m["relative_" + key] for m in inside), 1)
            self.assertGreater(min(m["relative_" + key] for m in inside), 0)
        self.assertGreater(gradients["stacks"][0]["sublayers"][0]["at_input"], 0)
        self.write("study.toml", STUDY)
        fresh, = self.answers("gradients", "study.toml")
        self.assertEqual({m["why"] for m in fresh["gradients"]["matrices"]}, {"no update was made yet"})
        self.assertIn("has no residual sub-layers", self.refusal("gradients", "study.toml", "--set", "arch.depth=0"))

    def test_tables_fit_a_terminal(self):
        self.write("study.toml", STUDY)
        deep = ["study.toml", "--set", "arch.depth=6"]  # the largest whole matrix
        for words in (["sharpness", "s", "--step", "all"], ["spectra", self.run_a], ["dependency", *deep],
                      ["output-change", *deep], ["gradients", self.run_a]):
            tables = self.evenkeel("probe", *words)[0].split("\n\n")
            for table in tables if words[0] == "dependency" else tables[:1]:
                if "\n" in table.strip():
                    self.assertLessEqual(max(map(len, table.splitlines())), 100, table)

    def test_wrong_input(self):
        self.write("study.toml", STUDY)
        self.assertIn('no probe "sharp"; there are sharpness, spectra, dependency, output-change, gradients', self.refusal("sharp", self.run_a))
        self.assertIn('"newest"', self.refusal("sharpness", self.run_a, "--step", "newest"))
        self.assertIn("holds no checkpoint of step 7, only step00000006, step00000012",
                      self.refusal("sharpness", self.run_a, "--step", "7"))
        self.assertIn("none is not a folder with runs", self.refusal("sharpness", "none"))
        self.assertIn("something to look into", self.refusal("sharpness"))
        self.assertIn("leave one of them out", self.refusal("sharpness", self.run_a, "--set", "optim.lr=1"))
        self.assertIn("leave it out", self.refusal("sharpness", "study.toml", "--step", "6"))
        self.assertIn("sweeps optim.lr", self.refusal("sharpness", "--set", "sweep.optim.lr=[1, 2]"))
        self.assertIn("did you mean", self.refusal("sharpness", "--set", "optim.lrr=1"))

    def test_a_step_that_is_no_number_given_to_the_trainer_itself(self):
        for step in ("foo", "1x", "-1", "99999999999999999999"):
            done = subprocess.run([TRAINER, "probe", "sharpness", self.run_a, "--step=" + step], cwd=self.folder, text=True,
                                  capture_output=True)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("--step must be", done.stderr)

    def test_missing_and_damaged_checkpoints(self):
        shutil.rmtree(self.path(self.run_a, "checkpoints"))
        self.assertIn("holds no whole checkpoint", self.refusal("sharpness", self.run_a))
        self.assertIn("holds no whole checkpoint", self.refusal("sharpness", self.run_a, "--step", "all"))
        file = pathlib.Path(self.path(self.run_b, "checkpoints", "step00000012", "optim.safetensors"))
        content = bytearray(file.read_bytes())
        content[-5] ^= 1
        file.write_bytes(content)
        self.assertIn("optim.safetensors", self.refusal("sharpness", self.run_b, "--step", "12"))
        newest, = self.answers("sharpness", self.run_b, "--iterations", "3")
        self.assertEqual(newest["step"], 6, "the newest whole one")
        stdout, stderr = self.evenkeel("probe", "sharpness", "s", "--step", "all", "--iterations", "3", "--json")
        self.assertEqual([(a["run"], a["step"]) for a in json.loads(stdout)], [(self.run_b, 6)])
        passed = [line for line in stderr.splitlines() if "passing over" in line]
        self.assertEqual(len(passed), 2, stderr)

    def test_other_data_is_refused(self):
        pathlib.Path(self.path("text.txt")).write_text("the quick brown fox jumps over the lazy dog\n" * 400)
        self.evenkeel("train", "--set", "data.path=text.txt", "--set", "arch.width=16", "--set", "arch.depth=0", "--set",
                      "arch.heads=2", "--set", "train.steps=2", "--set", "optim.warmup=1step", "--set", "arch.context=16",
                      "--set", "train.precision=fp32", "--out", "text")
        self.assertEqual(len(self.answers("sharpness", "text")), 1)
        pathlib.Path(self.path("text.txt")).write_text("a lazy fox sleeps\n" * 900)
        self.assertIn("changed since text was made", self.refusal("sharpness", "text"))


if __name__ == "__main__":
    unittest.main()
