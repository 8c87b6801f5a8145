"""The data commands as a user runs them: answers, JSON on standard output alone, errors and exit codes."""

import gzip
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

EVENKEEL = pathlib.Path(os.environ["EVENKEEL_BIN"]) / "evenkeel"
WORDS = "harbour keel even storm sail crew anchor tide lantern rope deck calm north gull cargo mast".split()


def sample_text(paragraphs):
    lines = []
    for p in range(paragraphs):
        picked = [WORDS[(p * 7 + w * w * 3 + p * w) % len(WORDS)] for w in range(12)]
        lines += [" ".join(picked[:6]) + ",", " ".join(picked[6:]) + ".", ""]
    return "\n".join(lines)


class DataCommands(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="evenkeel-")
        self.folder = pathlib.Path(self.scratch.name)

    def tearDown(self):
        self.scratch.cleanup()

    def run_command(self, *arguments, code=0):
        done = subprocess.run([EVENKEEL, "data", *arguments], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def answer(self, *arguments):
        done = self.run_command(*arguments, "--json")
        self.assertEqual(done.stderr, "")
        return json.loads(done.stdout)

    def complaint(self, *arguments, code=2):
        done = self.run_command(*arguments, code=code)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        return done.stderr

    def test_tokenize_then_inspect(self):
        (self.folder / "in.txt").write_text(sample_text(60))
        made = self.answer("tokenize", "in.txt", "--out", "tokens", "--vocab", "300")
        self.assertEqual(made["vocab"], 300)
        self.assertEqual(made["train"]["documents"] + made["valid"]["documents"], 60)
        seen = self.answer("inspect", "tokens", "--set", "arch.context=32")
        self.assertEqual((seen["kind"], seen["vocab"], seen["context"]), ("tokens", 300, 32))
        self.assertEqual(seen["train"]["tokens"], made["train"]["tokens"])
        self.assertEqual(seen["train"]["windows"], (made["train"]["tokens"] - 1) // 32)
        self.assertTrue(sample_text(60).startswith(seen["first"]["text"].split(",")[0]))
        self.assertIn("already holds token data",
                      self.complaint("tokenize", "in.txt", "--out", "tokens", "--vocab", "300"))

    def test_sentence_pairs(self):
        lines = [" ".join(WORDS[(i * 7 + w * w) % len(WORDS)] for w in range(3 + i % 5)) for i in range(90)]
        for name, text in (("a", lines), ("b", [" ".join(reversed(line.split())) for line in lines])):
            with gzip.open(self.folder / (name + ".gz"), "wt") as out:
                out.write("\n".join(text) + "\n")
        made = self.answer("tokenize", "a.gz", "b.gz", "--pairs", "--out", "pairs", "--vocab", "300", "--test", "a.gz", "b.gz")
        self.assertEqual([made[part]["pairs"] for part in ("train", "valid", "test")], [81, 9, 90])
        seen = self.answer("inspect", "pairs", "--set", "arch.context=64", "--set", "data.batch_tokens=128")
        self.assertEqual((seen["kind"], seen["vocab"], seen["train"]["used_pairs"]), ("pairs", 300, 81))
        self.assertEqual(seen["first"]["source"]["text"], lines[0])
        self.assertEqual(seen["first"]["target"]["text"].split(), lines[0].split()[::-1])
        self.assertTrue(0 < seen["train"]["padding"] < 0.3)
        self.assertIn("first source", self.run_command("inspect", "--set", "data.kind=synthetic_pairs").stdout)
        self.assertIn("two files with --pairs", self.complaint("tokenize", "a.gz", "--pairs", "--out", "other"))

    def test_inspect_the_built_in_language(self):
        seen = self.answer("inspect")
        self.assertEqual(seen["kind"], "synthetic")
        self.assertIsNone(seen["train"]["tokens"])
        self.assertIsNone(seen["first"]["text"])
        self.assertLess(seen["floor"], seen["bigram_entropy"])
        self.assertLess(seen["bigram_entropy"], seen["unigram_entropy"])
        self.assertIn("endless", self.run_command("inspect").stdout)

    def test_any_bytes_are_printable(self):
        (self.folder / "noise").write_bytes(bytes(range(256)) * 20)
        self.assertEqual(self.answer("inspect", "noise")["occurring_ids"], 256)
        self.run_command("inspect", "noise")

    def test_study_file(self):
        (self.folder / "in.txt").write_text(sample_text(60))
        (self.folder / "study.toml").write_text('[data]\npath = "in.txt"\n[arch]\ncontext = 16\n')
        seen = self.answer("inspect", "study.toml")
        self.assertEqual((seen["kind"], seen["context"]), ("bytes", 16))

    def test_complaints(self):
        (self.folder / "empty.txt").write_text("")
        (self.folder / "short.txt").write_text("short")
        (self.folder / "broken.jsonl").write_text('{"text": "a"}\n{"text": \n')
        self.assertIn("no such file", self.complaint("inspect", "gone.txt"))
        self.assertIn("0 bytes", self.complaint("inspect", "empty.txt"))
        self.assertIn("too short", self.complaint("inspect", "short.txt"))
        self.assertIn("broken.jsonl:2, byte 23", self.complaint("inspect", "broken.jsonl"))
        self.assertIn("evenkeel data tokenize", self.complaint("inspect", "."))
        self.assertIn('did you mean "data.synthetic.copy"', self.complaint("inspect", "--set", "data.synthetic.coppy=1"))
        self.assertIn("not in {bpe,unigram}", self.complaint("tokenize", "short.txt", "--type", "words", "--out", "x"))
        self.assertIn("IN is required", self.complaint("tokenize", "--out", "x"))
        (self.folder / "in.txt").write_text(sample_text(60))
        (self.folder / "blocked").write_text("a file is in the way")
        self.assertIn("blocked", self.complaint("tokenize", "in.txt", "--vocab", "300", "--out", "blocked/x", code=5))


if __name__ == "__main__":
    unittest.main()
