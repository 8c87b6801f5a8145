"""Files that somebody else wrote are never replaced, and what time or a disk has damaged is said and costs no more than itself."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from program import BIN, EVENKEEL, SMALL_STUDY, TRAINER, StudyTest


class FileCase(StudyTest):
    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        return super().write(name, text)

    def read(self, *names):
        with open(self.path(*names), "rb") as source:
            return source.read()

    def change(self, *names, at=None, bit=1):
        """Flips a bit of a file, in the middle unless told where."""
        content = bytearray(self.read(*names))
        content[len(content) // 2 if at is None else at] ^= bit
        with open(self.path(*names), "wb") as out:
            out.write(content)


class Foreign(FileCase):
    def test_train_and_sweep_refuse_a_folder_with_files_they_would_replace(self):
        hashes = None
        self.evenkeel("sweep", "study.toml", "--out", "known")
        hashes = [cell["hash"] for cell in self.cells("known")]
        for name in ("metrics.jsonl", "heads.jsonl", "events.jsonl", "timing.jsonl", "log.txt", "result.json",
                     "summary.jsonl", "checkpoints/step20200101/mine"):
            out = "o-" + name.split("/")[0]
            self.write(os.path.join(out, name), "mine")
            self.write(os.path.join(out, "notes.txt"), "mine too")
            sentence = self.error_of("train", "run.toml", "--out", out, code=2)
            self.assertIn(os.path.join(out, name.split("/")[0]) + " is there", sentence)
            self.assertEqual(self.read(out, name), b"mine")
            self.assertFalse(os.path.exists(self.path(out, "manifest.json")))
        self.write(os.path.join("s", "cells", hashes[0], "metrics.jsonl"), "mine")
        _, error = self.evenkeel("sweep", "study.toml", "--out", "s", code=6)
        self.assertIn("is there, and no run wrote it", error)
        self.assertEqual(self.read("s", "cells", hashes[0], "metrics.jsonl"), b"mine")
        # Beside other files a run is at home.
        self.write("beside/notes.txt", "mine")
        self.evenkeel("train", "run.toml", "--out", "beside")

    def test_only_a_report_is_replaced_by_a_report(self):
        self.write("s/report.html", "<!doctype html>\n<title>mine</title>")
        self.assertIn("is no report of evenkeel", self.error_of("sweep", "study.toml", "--out", "s", code=2))
        self.assertFalse(os.path.exists(self.path("s", "cells")), "said before anything is trained")
        os.remove(self.path("s", "report.html"))
        self.evenkeel("sweep", "study.toml", "--out", "s")
        first = self.read("s", "report.html")
        self.evenkeel("sweep", "study.toml", "--out", "s")
        self.evenkeel("report", "s")
        # As versions before this wrote it: no generator.
        head, _, rest = first.partition(b'<meta name="generator"')
        self.write("old.html", (head + rest.partition(b"\n")[2]).decode())
        self.write("empty.html", "")
        for name in ("old.html", "empty.html"):
            self.evenkeel("report", "s", "-o", name)
            self.assertIn(b'<meta name="generator"', self.read(name))
        self.write("mine.txt", "mine")
        self.assertIn("mine.txt is there", self.error_of("report", "s", "-o", "mine.txt", code=2))
        self.assertEqual(self.read("mine.txt"), b"mine")

    def test_token_data_replaces_nothing_by_chance(self):
        self.write("in.txt", "the quick brown fox jumps over the lazy dog\n" * 200)
        self.write("t/train.bin", "mine")
        self.assertIn("train.bin is there", self.error_of("data", "tokenize", "in.txt", "--out", "t", "--vocab", "300", code=2))
        self.assertEqual(self.read("t", "train.bin"), b"mine")


class DamagedCells(FileCase):
    """Every reader goes on without the cell, says its name, and the sweep makes it anew."""

    made = None  # one sweep for all, copied

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.made, True)

    def setUp(self):
        super().setUp()
        if not self.made:
            self.evenkeel("sweep", "study.toml", "--out", "s", "--set", "sweep.train.seed=[1, 2]")
            DamagedCells.made = tempfile.mkdtemp(prefix="evenkeel-")
            shutil.copytree(self.path("s"), os.path.join(self.made, "s"))
        else:
            shutil.copytree(os.path.join(self.made, "s"), self.path("s"))

    def damaged(self, name, content):
        cell = self.cells("s")[2]
        file = self.path("s", "cells", cell["hash"], name)
        whole = self.read(file)
        with open(file, "wb") as out:
            out.write(content(whole))
        return cell, file, whole

    def check(self, name, content):
        cell, file, whole = self.damaged(name, content)
        bad = self.read(file)
        for words in (["analyze", "s"], ["analyze", "s", "--json"], ["report", "s"], ["predictors", "s"],
                      ["analyze", os.path.join("s", "cells")]):
            _, error = self.evenkeel(*words)
            self.assertIn(cell["hash"], error, words)
            self.assertIn("counts as missing", error, words)
        self.assertIn("counts as missing", self.read("s", "report.html").decode())
        answer = json.loads(self.evenkeel("analyze", "s", "--json")[0])
        self.assertEqual(sum(curve["missing_cells"] for curve in answer["curves"]), 1)
        listed = json.loads(self.evenkeel("ls", "s", "--json")[0])
        self.assertEqual([entry["state"] for entry in listed].count("damaged"), 1)
        self.assertIn(name, self.error_of("show", os.path.dirname(file), code=2))
        _, error = self.evenkeel("sweep", "study.toml", "--out", "s", "--set", "sweep.train.seed=[1, 2]")
        self.assertIn("its folder is kept as", error)
        self.assertEqual(self.read("s", "damaged", cell["hash"], name), bad)
        self.assertEqual({c["state"] for c in self.cells("s")}, {"done"})
        if name == "result.json":
            self.assertEqual(self.read(file), whole)

    def test_an_empty_manifest(self):
        self.check("manifest.json", lambda whole: b"")

    def test_half_a_manifest(self):
        self.check("manifest.json", lambda whole: whole[:len(whole) // 2])

    def test_an_empty_result(self):
        self.check("result.json", lambda whole: b"")

    def test_half_a_result(self):
        self.check("result.json", lambda whole: whole[:len(whole) // 2])

    def test_a_run_of_a_later_version_is_left_alone(self):
        cell, file, _ = self.damaged("manifest.json", lambda whole: whole.replace(b'"format": 1', b'"format": 99'))
        _, error = self.evenkeel("sweep", "study.toml", "--out", "s", "--set", "sweep.train.seed=[1, 2]")
        self.assertFalse(os.path.exists(self.path("s", "damaged")))
        self.assertIn("use a newer evenkeel", error)

    def test_what_a_killed_sweep_left_in_a_finished_cell_goes(self):
        log = os.path.join("s", "cells", self.cells("s")[0]["hash"], "log.txt")
        self.write(log, "")
        self.evenkeel("sweep", "study.toml", "--out", "s", "--set", "sweep.train.seed=[1, 2]")
        self.assertFalse(os.path.exists(self.path(log)))


class DamagedLines(FileCase):
    def setUp(self):
        super().setUp()
        subprocess.run([os.path.join(BIN, "write_fixture"), self.path("s"), "two_sizes"], check=True)
        self.cell = next(cell["hash"] for cell in self.cells("s")
                         if os.path.exists(self.path("s", "cells", cell["hash"], "heads.jsonl")))
        self.run_folder = os.path.join("s", "cells", self.cell)

    def test_every_reader_says_so_and_one_line_costs_one_line(self):
        before = json.loads(self.evenkeel("show", self.run_folder, "--json")[0])
        for name in ("metrics.jsonl", "heads.jsonl"):
            lines = self.read(self.run_folder, name).count(b"\n")
            self.change(self.run_folder, name, at=self.read(self.run_folder, name).index(b"\n") + 3)
            sentence = "%s is damaged: line 2 of %d does not check" % (name, lines)
            for words in (["show", self.run_folder], ["report", "s"], ["predictors", "s"], ["analyze", "s"]):
                _, error = self.evenkeel(*words)
                self.assertIn(sentence, error, words)
            self.assertIn(sentence, self.evenkeel("ls", self.run_folder)[0])
            entry, = json.loads(self.evenkeel("ls", self.run_folder, "--json")[0])
            self.assertIn(sentence, " ".join(entry["damage"]))
            self.assertIn(sentence, self.read("s", "report.html").decode())
            self.assertIn(sentence, self.error_of_verify())
            after = json.loads(self.evenkeel("show", self.run_folder, "--json")[0])
            self.assertEqual(after["last"], before["last"], "what stands behind the line is read")

    def error_of_verify(self):
        out, _ = self.evenkeel("verify", "s", code=2)
        return out

    def test_a_torn_tail_is_damage_of_an_ended_run_only(self):
        for name in ("metrics.jsonl", "timing.jsonl"):
            with open(self.path(self.run_folder, name), "a") as out:
                out.write('{"step": 39, "loss/tr')
        _, error = self.evenkeel("analyze", "s")
        self.assertIn("metrics.jsonl is damaged", error)
        os.remove(self.path(self.run_folder, "result.json"))
        _, error = self.evenkeel("show", self.run_folder)
        self.assertEqual(error, "")


@unittest.skipUnless(os.path.exists(TRAINER), "evenkeel-train is not built in " + BIN)
class Verify(FileCase):
    trainer = TRAINER

    def test_one_bit_anywhere_is_found(self):
        self.write("study.toml", SMALL_STUDY.replace("0.03, 0.1, 0.3, 1.0", "0.03").replace(', "per_head"', ""))
        self.evenkeel("sweep", "study.toml", "--out", "s", "--set", "telemetry.spectra_every=10")
        answer = json.loads(self.evenkeel("verify", "s", "--json")[0])
        self.assertEqual(answer["damaged"], 0)
        run = os.path.join("s", "cells", self.cells("s")[0]["hash"])
        self.assertEqual([entry["file"] for entry in answer["files"]],
                         [os.path.join("s", "sweep.json")] +
                         [os.path.join(run, name) for name in ("manifest.json", "result.json", "metrics.jsonl", "heads.jsonl",
                                                               "events.jsonl", "timing.jsonl", "summary.jsonl",
                                                               "checkpoints/step00000010", "checkpoints/step00000020")])
        names = ["metrics.jsonl", "heads.jsonl", "timing.jsonl", "summary.jsonl"]
        names += [os.path.join("checkpoints", "step00000020", name)
                  for name in ("model.safetensors", "optim.safetensors", "telemetry.safetensors", "state.json")]
        for name in names:
            whole = self.read(run, name)
            self.change(run, name)
            out, error = self.evenkeel("verify", "s", code=2)
            self.assertEqual(out.count("damaged  "), 1, out)
            self.assertIn(name, out)
            self.assertIn("1 of 10 files are damaged", error)
            self.restore(whole, run, name)
        for path, old, new in ((("s", "sweep.json"), b'"lr": 0.03', b'"lr": 0.04'), ((run, "manifest.json"), b'"arm": "', b'"arm": "x'),
                               ((run, "manifest.json"), b'"h1": ', b'"h1": 1'), ((run, "result.json"), b'"l0": ', b'"l0": 1')):
            whole = self.read(*path)
            self.assertIn(old, whole)
            self.restore(whole.replace(old, new), *path)
            out, _ = self.evenkeel("verify", "s", code=2)
            self.assertIn("damaged  " + os.path.join(*path), out)
            self.restore(whole, *path)
        # Cut between two lines every line checks, but not the whole.
        whole = self.read(run, "metrics.jsonl")
        self.restore(whole[:whole.rindex(b"\n", 0, -1) + 1], run, "metrics.jsonl")
        out, _ = self.evenkeel("verify", run, code=2)
        self.assertIn("lines are missing or were added", out)
        self.assertIn("lines are missing", self.evenkeel("show", run)[1])
        self.restore(whole, run, "metrics.jsonl")
        self.evenkeel("verify", "s")

    def restore(self, content, *names):
        with open(self.path(*names), "wb") as out:
            out.write(content)

    def test_export_replaces_an_export_only(self):
        self.evenkeel("train", "run.toml", "--set", "optim.lr=0.03", "--out", "r")
        self.write("mine", "mine")
        self.assertIn("is there and was not written by", self.evenkeel("export", "r", "-o", "mine", code=2)[1])
        self.assertEqual(self.read("mine"), b"mine")
        self.evenkeel("export", "r", "-o", "weights")
        self.evenkeel("export", "r", "-o", "weights")

    def test_a_damaged_record_goes_back_to_the_checkpoint_before_it(self):
        words = ["train", "run.toml", "--set", "optim.lr=0.03", "--out"]
        self.evenkeel(*words, "whole")
        self.evenkeel(*words, "r")
        os.remove(self.path("r", "result.json"))
        last = self.read("r", "metrics.jsonl")
        self.change("r", "metrics.jsonl", at=last.rindex(b"\n", 0, -1) - 10)
        _, error = self.evenkeel(*words, "r")
        self.assertIn("passing over checkpoint step00000020", error)
        for name in ("metrics.jsonl", "heads.jsonl", "events.jsonl", "result.json", "checkpoints/step00000020/state.json"):
            self.assertEqual(self.read("r", name), self.read("whole", name), name)
        os.remove(self.path("r", "result.json"))
        self.change("r", "metrics.jsonl", at=5)
        self.assertIn("delete the run's folder", self.error_of(*words, "r", code=2))
        shutil.rmtree(self.path("r"))


if __name__ == "__main__":
    if not os.path.exists(EVENKEEL):
        raise SystemExit("no evenkeel in %s: build it, or set EVENKEEL_BIN" % BIN)
    unittest.main()
