"""Translation from the command line: translate, evaluate, and the mean of checkpoints."""

import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

BIN = pathlib.Path(os.environ.get("EVENKEEL_BIN", "build/release")).resolve()
EVENKEEL = str(BIN / "evenkeel")
READER = pathlib.Path(__file__).resolve().parent.parent / "support" / "read_safetensors.py"

SMALL = ["--set", "arch.family=seq2seq", "--set", "arch.width=32", "--set", "arch.depth=1", "--set", "arch.heads=2",
         "--set", "arch.context=32", "--set", "data.batch_tokens=300", "--set", "train.steps=60", "--set", "optim.lr=0.005",
         "--set", "train.checkpoint_every=20step", "--set", "train.keep_checkpoints=3", "--set", "train.precision=fp32"]
WORDS = "a man rides one red bike over the hill while two dogs run".split()


def run(*words, code=0, **options):
    done = subprocess.run([EVENKEEL, *map(str, words)], capture_output=True, text=True, **options)
    if done.returncode != code:
        raise AssertionError(f"exit {done.returncode}: {done.stdout}{done.stderr}")
    return done


def weights(file):
    return json.loads(subprocess.run([sys.executable, str(READER), str(file)], check=True, capture_output=True).stdout)


class TranslateTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.keep = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.keep.name)
        lines = [" ".join(WORDS[(i * 5 + w * w) % len(WORDS)] for w in range(2 + i % 4)) for i in range(120)]
        for name, text in (("a", lines), ("b", [line.upper() for line in lines])):
            with gzip.open(cls.folder / (name + ".gz"), "wt") as out:
                out.write("\n".join(text) + "\n")
        cls.lines = lines
        files = [cls.folder / "a.gz", cls.folder / "b.gz"]
        run("data", "tokenize", *files, "--pairs", "--test", *files, "--out", cls.folder / "pairs", "--vocab", "300")
        run("train", *SMALL, "--set", f"data.path={cls.folder / 'pairs'}", "--out", cls.folder / "text")
        run("train", *SMALL, "--set", "train.steps=150", "--set", "optim.lr=0.01", "--set", "optim.warmup=10step",
            "--set", "train.checkpoint_every=0", "--set", "data.pairs.task=copy", "--set", "data.pairs.symbols=3",
            "--set", "data.pairs.length_min=1", "--set", "data.pairs.length_max=1", "--out", cls.folder / "symbols")

    @classmethod
    def tearDownClass(cls):
        cls.keep.cleanup()

    def test_translate_and_evaluate_agree_and_score_as_score_does(self):
        text, out, again = self.folder / "text", self.folder / "out", self.folder / "again"
        found = json.loads(run("evaluate", text, "--part", "test", "-o", out, "--json").stdout)
        self.assertEqual((found["sentences"], found["step"], found["beam"], found["part"]), (120, 60, 5, "test"))
        run("translate", text, self.folder / "a.gz", "-o", again)
        self.assertEqual(out.read_text(), again.read_text())
        scored = json.loads(run("score", out, self.folder / "b.gz", "--json").stdout)
        self.assertAlmostEqual(found["bleu"], scored["bleu"], places=9)
        self.assertAlmostEqual(found["chrf2"], scored["chrf2"], places=9)
        hypotheses = out.read_text().splitlines()
        right = sum(h == line.upper() for h, line in zip(hypotheses, self.lines))
        self.assertEqual(found["exact"], right / 120)
        piped = run("translate", text, input="\n".join(self.lines[:3]) + "\n\n").stdout.split("\n")
        self.assertEqual(piped[:3], hypotheses[:3])
        self.assertEqual(len(piped), 5, "one line for each, the empty one too")

    def test_the_built_in_task_is_learnt(self):
        found = json.loads(run("evaluate", self.folder / "symbols", "--json").stdout)
        self.assertEqual(found["exact"], 1.0, "one of three symbols, copied")
        self.assertNotIn("bleu", found)
        self.assertIn("100.0 % of", run("evaluate", self.folder / "symbols").stdout)

    def test_the_mean_of_checkpoints(self):
        text = self.folder / "text"
        files = {}
        for name, more in (("20", ["--step", 20]), ("40", ["--step", 40]), ("60", []), ("two", ["--average", 2]),
                           ("three", ["--average", 3])):
            files[name] = self.folder / f"{name}.safetensors"
            run("export", text, "-o", files[name], *more)
        values = {name: weights(file) for name, file in files.items()}
        for name, tensor in values["three"].items():
            for i, ours in enumerate(tensor["values"]):
                steps = [values[step][name]["values"][i] for step in ("20", "40", "60")]
                # fp32 numbers of size one, rounded once.
                self.assertAlmostEqual(ours, sum(steps) / 3, delta=1e-6)
                self.assertAlmostEqual(values["two"][name]["values"][i], sum(steps[1:]) / 2, delta=1e-6)
        one, three = (json.loads(run("evaluate", text, "--average", n, "--json").stdout) for n in (1, 3))
        self.assertEqual((one["average"], three["average"]), (1, 3))
        self.assertIn("holds 3 checkpoints up to step 60, fewer than the 4 to average",
                      run("export", text, "-o", self.folder / "x", "--average", 4, code=2).stderr)

    def test_pairs_that_cannot_be_compared_are_left_out_and_said_so(self):
        # The last test pair has no reference, and one source is longer than the model reads.
        for name, text in (("c", ["a man", " ".join(["hill"] * 40), "two dogs"]), ("d", ["A MAN", "HILL", ""])):
            (self.folder / name).write_text("\n".join(text) + "\n")
        files = [self.folder / "a.gz", self.folder / "b.gz"]
        run("data", "tokenize", *files, "--pairs", "--test", self.folder / "c", self.folder / "d", "--out", self.folder / "odd",
            "--vocab", "300")
        run("train", *SMALL, "--set", "train.steps=1", "--set", f"data.path={self.folder / 'odd'}", "--set",
            "optim.weight_decay=0", "--out", self.folder / "odd_run")
        done = run("evaluate", self.folder / "odd_run", "--part", "test", "--json", "-o", self.folder / "odd_out")
        found = json.loads(done.stdout)
        self.assertEqual((found["sentences"], found["left_out"]), (1, 2))
        self.assertIn("2 of 3 pairs left out", done.stderr)
        # An untrained model writes bytes that are no UTF-8; a line stays a line that other programs read.
        run("translate", self.folder / "odd_run", self.folder / "a.gz", "-o", self.folder / "noise")
        self.assertEqual((self.folder / "noise").read_text(encoding="utf-8").count("\n"), 120)
        run("score", self.folder / "noise", self.folder / "b.gz")

    def test_what_cannot_be_written_is_no_success(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([EVENKEEL, "translate", self.folder / "text", self.folder / "a.gz"], stdout=full,
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual((done.returncode, "standard output" in done.stderr), (5, True), done.stderr)
        link, pipe = self.folder / "link", self.folder / "pipe"
        link.symlink_to(self.folder / "behind")
        (self.folder / "behind").write_text("old")
        run("translate", self.folder / "text", self.folder / "a.gz", "-o", link)
        self.assertTrue(link.is_symlink())
        self.assertEqual((self.folder / "behind").read_text().count("\n"), 120)
        os.mkfifo(pipe)
        self.assertIn("is no file", run("translate", self.folder / "text", self.folder / "a.gz", "-o", pipe, code=5).stderr)
        self.assertTrue(pipe.is_fifo())

    def test_the_trainers_end_decides_the_exit_code(self):
        fake = self.folder / "fake"
        for script, code, sentence in (("echo 'evenkeel-train: out of memory' >&2; exit 5", 5, "evenkeel: out of memory"),
                                       ("echo careful >&2; kill -9 $$", 5, "killed by signal 9")):
            fake.write_text("#!/bin/sh\n" + script + "\n")
            fake.chmod(0o755)
            done = run("translate", self.folder / "text", self.folder / "a.gz", code=code,
                       env={**os.environ, "EVENKEEL_TRAIN": str(fake)})
            self.assertIn(sentence, done.stderr)

    def test_complaints(self):
        text, symbols = self.folder / "text", self.folder / "symbols"
        run("train", "--set", "arch.width=16", "--set", "arch.depth=1", "--set", "arch.heads=1", "--set", "train.steps=2",
            "--set", "arch.context=16", "--set", "train.batch=2", "--set", "data.valid_tokens=64", "--out", self.folder / "lm")
        long = " ".join(["hill"] * 40) + "\n"
        for words, sentence, options in (
                (["translate", self.folder / "lm"], "holds a decoder_lm, which does not translate", {}),
                (["translate", symbols], "knows no words", {}),
                (["translate", text], "sentence 2 has", {"input": "a man\n" + long}),
                (["translate", text, self.folder / "none"], "none", {}),
                (["translate", text, "--step", 21], "holds no checkpoint of step 21", {}),
                (["evaluate", symbols, "--part", "test"], "has a valid part only", {}),
                (["evaluate", text, "--length-penalty", "nan"], "--length-penalty must be a number", {}),
                (["evaluate", symbols, "--data", "x"], "--data is for runs on text", {}),
                (["evaluate", text, "--data", self.folder], "pairs.json", {})):
            done = run(*words, code=2, **{"input": "", **options})
            self.assertIn(sentence, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertNotIn("evenkeel-train", done.stderr)


if __name__ == "__main__":
    unittest.main()
