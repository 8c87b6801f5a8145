"""What the plain program answers: errors that say what to do, exit codes, JSON, help."""
import json
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest

from program import BIN, EVENKEEL, HANGS, ROOT, ProgramTest

STUDY = """[study]
title = "Two rates"
[sweep]
"optim.lr" = [0.1, 0.3]
"interventions.qk_norm" = ["off", "per_head"]
"""


class TextOfOnesOwn(ProgramTest):
    def test_a_sweep_over_a_file_is_reported(self):
        self.write("t.txt", "the quick brown fox jumps over the lazy dog. " * 400)
        self.write("study.toml", STUDY + "[data]\npath = \"t.txt\"\nvalid_tokens = 512\n[arch]\nsize = \"d32\"\ncontext = 32\n")
        self.evenkeel("sweep", "study.toml", "--out", "s")
        self.evenkeel("report", "s")
        self.evenkeel("analyze", "s", "s")
        self.evenkeel("export", "s", "--to", "csv", "-o", "out")


class Usage(ProgramTest):
    def test_version_and_help(self):
        version, _ = self.evenkeel("--version")
        self.assertRegex(version, r"^evenkeel \d+\.\d+\.\d+\n$")
        text, _ = self.evenkeel("--help")
        names = "demo train sweep ls show analyze probe predictors report import score data config bench".split()
        places = [text.index("\n  %s " % name) for name in names]
        self.assertEqual(places, sorted(places), "commands in the order of a user's journey")
        for name in names:
            text, _ = self.evenkeel(name, "--help")
            self.assertIn("Examples:", text, name)

    def test_a_slip_gets_a_suggestion(self):
        self.assertIn('did you mean "sweep"?', self.error_of("swep", code=2))
        self.assertIn('did you mean "--out"?', self.error_of("train", "--ot", "x", code=2))
        self.assertIn("--help", self.error_of("sweep", code=2))
        self.assertIn("--jobs", self.error_of("sweep", "x.toml", "--out", "o", "--jobs", "none", code=2))


class Score(ProgramTest):
    # The example of sacrebleu's documentation.
    HYPOTHESES = "The dog bit the man.\nIt wasn't surprising.\nThe man had just bitten him.\n"
    REFERENCES = ("The dog bit the man.\nIt was not unexpected.\nThe man bit him first.\n",
                  "The dog had bit the man.\nNo one was surprised.\nThe man had bitten the dog.\n")

    def setUp(self):
        super().setUp()
        self.write("hyp", self.HYPOTHESES)
        for name, text in zip("ab", self.REFERENCES):
            self.write(name, text)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def test_corpus_and_sentences(self):
        stdout, _ = self.evenkeel("score", "hyp", "a", "b")
        self.assertEqual(stdout, "BLEU = 48.53 82.4/50.0/45.5/37.5 (BP = 0.943 ratio = 0.944 hyp_len = 17 "
                                 "ref_len = 18)\nchrF2 = 59.73\n")
        answer = json.loads(self.evenkeel("score", "hyp", "a", "b", "--json", "--sentences")[0])
        self.assertAlmostEqual(answer["bleu"], 48.530827, 6)
        self.assertEqual(answer["matches"], [14, 7, 5, 3])
        self.assertAlmostEqual(answer["sentences"][0]["bleu"], 100, 9)
        stdout, _ = self.evenkeel("score", "hyp", "a", "--sentences")
        self.assertEqual(len(stdout.splitlines()), 3)
        # Of one sentence only the orders it has words for count, as sacrebleu does by sentence.
        self.write("two", "a b\n")
        self.assertEqual(self.evenkeel("score", "two", "two", "--sentences")[0], "100.00\t100.00\n")

    def test_files_that_do_not_belong_together(self):
        self.write("short", "One.\n")
        self.assertIn("3 hypotheses, got 1", self.error_of("score", "hyp", "short", code=2))
        self.assertIn("no such file", self.error_of("score", "hyp", "none", code=2))


class Predictors(ProgramTest):
    def setUp(self):
        super().setUp()
        subprocess.run([os.path.join(BIN, "write_fixture"), self.path("s"), "two_sizes"], check=True)

    def test_document_and_tables(self):
        stdout, _ = self.evenkeel("predictors", "s", "--json", "--at", "30,50%")
        answer = json.loads(stdout)
        # The arm with a cell that has not ended gives no labels at that size.
        self.assertEqual((answer["runs"], answer["failed"]), (36, 12))
        self.assertEqual(sum(entry["runs"] for entry in answer["left_out"]), 12)
        signals = {signal["name"]: signal for signal in answer["signals"]}
        logit = signals["logit_max"]
        self.assertEqual([(at["share"], at["step"]) for at in logit["at"]], [(None, 30), (0.5, None)])
        self.assertGreater(logit["at"][1]["auc"]["value"], 0.9)
        self.assertEqual(len(signals["lr"]["at"][0]["auc"]["interval"]), 2)
        # Lost runs ring in time, degraded ones too late.
        self.assertEqual(logit["lead"]["alarmed"]["value"], 0.5)
        self.assertEqual(stdout, self.evenkeel("predictors", "s", "--json", "--at", "30,50%")[0])
        stdout, _ = self.evenkeel("predictors", "s", "--at", "5%,10%,25%,50%,100%,30")
        # Sentences are wrapped in a terminal only.
        tables = [line for line in stdout.splitlines() if not line.endswith(".")]
        self.assertLessEqual(max(map(len, tables)), 100)
        self.assertIn("logit_max", stdout)

    def test_wrong_input(self):
        self.assertIn("10%", self.error_of("predictors", "s", "--at", "ten", code=2))
        run = os.path.join("s", "cells", sorted(os.listdir(self.path("s", "cells")))[0])
        self.assertIn("no run there has an outcome: 1 no siblings", self.error_of("predictors", run, code=2))
        self.write("x.json", "{}")
        self.assertIn("no run there was forced by [change]", self.error_of("predictors", "s", "--forced", code=2))
        self.assertIn("does not say sharpness", self.error_of("predictors", "s", "--sharpness", "x.json", code=2))


class JsonKeys(ProgramTest):
    """docs/formats/json.md promises keys; the commands print those and no others."""

    def documented(self, command):
        with open(os.path.join(ROOT, "docs", "formats", "json.md")) as page:
            page = page.read()
        section = page.split(f"## `evenkeel {command} --json`\n")[1].split("\n## ")[0]
        opening, *rows = section.split("\n|")
        keys = set(re.findall(r"`([a-z0-9_]+)`", opening)) - {"null"}
        for row in rows:
            if row.startswith(" `"):
                keys |= set(re.findall(r"`([a-z0-9_]+)`", row.split("|")[0]))
        return keys

    def test_of_ls_and_show(self):
        subprocess.run([os.path.join(BIN, "write_fixture"), self.path("s")], check=True)
        listed = json.loads(self.evenkeel("ls", "s", "--json")[0])
        self.assertEqual({key for run in listed for key in run} - {"nonfinite"}, self.documented("ls DIR") - {"why"})
        shown = json.loads(self.evenkeel("show", listed[0]["run"], "--json")[0])
        self.assertEqual(set(shown) - {"nonfinite"}, self.documented("show RUN"))


class Import(ProgramTest):
    def test_losses_that_were_not_evaluated_are_told(self):
        self.write("log.csv", "run,step,loss\na,0,6\na,10,nan\na,20,3\nb,0,6\nb,10,nan\n")
        words = ("import", "log.csv", "--map", "run=run,step=step,loss=loss", "--out", "o", "--json")
        stdout, stderr = self.evenkeel(*words)
        self.assertEqual(json.loads(stdout), {"out": "o", "rows": 5, "runs": 2, "nonfinite_runs": 1, "isolated_nonfinite": 1})
        self.assertIn("1 loss is not finite with a finite one after it", stderr)
        labels = {entry["run"]: entry["label"] for entry in json.loads(self.evenkeel("ls", "o", "--json")[0])}
        self.assertEqual(labels, {"o/a": "finished", "o/b": "nonfinite"})


class WrongInput(ProgramTest):
    def test_mistyped_key_in_a_file_names_file_line_and_suggestion(self):
        self.write("study.toml", "[optim]\nlrr = 0.1\n")
        for words in (["sweep", "study.toml", "--out", "o"], ["train", "study.toml", "--out", "o"],
                      ["config", "check", "study.toml"]):
            sentence = self.error_of(*words, code=2)
            self.assertIn("study.toml:2", sentence)
            self.assertIn("optim.lrr", sentence)
            self.assertIn('did you mean "optim.lr"?', sentence)
        self.assertFalse(os.path.exists(self.path("o")))

    def test_mistyped_key_of_an_axis(self):
        self.write("study.toml", '[sweep]\n"optim.l" = [0.1]\n')
        sentence = self.error_of("sweep", "study.toml", "--out", "o", code=2)
        self.assertIn("study.toml:2", sentence)

    def test_mistyped_key_of_set(self):
        self.assertIn('did you mean "train.steps"?', self.error_of("train", "--set", "train.step=3", "--out", "o", code=2))
        self.assertIn("key=value", self.error_of("train", "--set", "train.steps", "--out", "o", code=2))

    def test_text_that_is_not_utf8(self):
        for words in (["--set", b"data.path=caf\xe9.txt"], ["--device", b"\xe9"]):
            done = subprocess.run([EVENKEEL, "train", *words, "--out", "o"], cwd=self.folder, env=self.environment(),
                                  stdin=subprocess.DEVNULL, capture_output=True)
            self.assertEqual(done.returncode, 2, done.stderr)
        self.write("study.toml", STUDY)
        for words in (["sweep", "study.toml", "--out", b"\xe9"], ["analyze", b"\xe9"], ["ls", b"\xe9"], ["train", "--out", b"o\xe9"]):
            done = subprocess.run([EVENKEEL, *words, "--json"], cwd=self.folder, env=self.environment(),
                                  stdin=subprocess.DEVNULL, capture_output=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            json.loads(done.stdout)

    def test_missing_files(self):
        self.assertIn("none.toml", self.error_of("sweep", "none.toml", "--out", "o", code=2))
        sentence = self.error_of("train", "--set", "data.path=none.txt", "--out", "o", code=2)
        self.assertIn("none.txt", sentence)

    def test_bad_toml_tells_where(self):
        self.write("study.toml", '[optim]\nlr = 0.1\nwarmup = "40step\n')
        self.assertIn("study.toml:3:", self.error_of("sweep", "study.toml", "--out", "o", code=2))

    def test_contradictions_name_both_sides(self):
        self.write("study.toml", '[arch]\nsize = "d64"\nwidth = 96\n')
        sentence = self.error_of("sweep", "study.toml", "--out", "o", code=2)
        self.assertIn("study.toml:2", sentence)
        self.assertIn("study.toml:3", sentence)
        sentence = self.error_of("train", "--set", "train.threads=2", "--threads", "3", "--out", "o", code=2)
        self.assertIn("--threads", sentence)

    def test_values_out_of_range(self):
        self.assertIn("> 0", self.error_of("train", "--set", "optim.lr=-1", "--out", "o", code=2))
        self.assertIn("cpu, cuda", self.error_of("train", "--device", "tpu", "--out", "o", code=2))

    def test_train_refuses_a_study(self):
        self.write("study.toml", STUDY)
        self.assertIn("evenkeel sweep", self.error_of("train", "study.toml", "--out", "o", code=2))

    def test_the_text_study_says_which_option_it_needs(self):
        study = os.path.join(ROOT, "studies", "qk_norm_text", "study.toml")
        self.assertIn("--set data.path=", self.error_of("sweep", study, "--out", "o", code=2))

    def test_folders_are_not_mixed(self):
        self.write("study.toml", STUDY)
        self.evenkeel("train", "--out", "run")
        self.evenkeel("sweep", "study.toml", "--out", "sweep")
        self.assertIn("another configuration", self.error_of("train", "--set", "optim.lr=0.5", "--out", "run", code=2))
        self.assertIn("single run", self.error_of("sweep", "study.toml", "--out", "run", code=2))
        self.assertIn("holds a sweep", self.error_of("train", "--out", "sweep", code=2))

    def test_no_trainer(self):
        self.trainer = self.path("none")
        self.assertIn("EVENKEEL_TRAIN", self.error_of("train", "--out", "o", code=5))


class Train(ProgramTest):
    def test_a_run_ends_once(self):
        out, _ = self.evenkeel("train", "--set", "optim.lr=0.1", "--out", "run", "--json")
        answer = json.loads(out)
        self.assertEqual((answer["label"], answer["exit_code"], answer["steps"]), ("finished", 0, 300))
        again, _ = self.evenkeel("train", "--set", "optim.lr=0.1", "--out", "run", "--json")
        self.assertEqual(json.loads(again), answer)
        with open(self.path("run", "attempts.txt")) as attempts:
            self.assertEqual(len(attempts.readlines()), 1)

    def test_a_divergence_is_a_result_with_its_own_code(self):
        out, _ = self.evenkeel("train", "--set", "optim.lr=0.1", "--out", "run", "--json", behaviour="nan@0.1", code=3)
        answer = json.loads(out)
        self.assertIsNone(answer["loss"])
        self.assertEqual(answer["nonfinite"], "loss=nan")
        self.evenkeel("train", "--set", "optim.lr=0.1", "--out", "run", code=3)

    def test_the_trainer_s_sentence_and_code_come_through(self):
        sentence = self.error_of("train", "--set", "optim.lr=0.1", "--out", "run", behaviour="full@0.1", code=5)
        self.assertIn("No space left on device", sentence)
        sentence = self.error_of("train", "--set", "optim.lr=0.1", "--out", "run", behaviour="crash@0.1", code=4)
        self.assertTrue(sentence.startswith("a made-up bug (log: "), sentence)
        self.evenkeel("train", "--set", "optim.lr=0.1", "--out", "run")


    def test_sigterm_is_passed_on_and_the_run_goes_on_later(self):
        child = self.start("train", "--out", "run", behaviour="slow=60")
        end = time.monotonic() + HANGS
        while not os.path.exists(self.path("run", "timing.jsonl")) and time.monotonic() < end:
            time.sleep(0.02)
        child.send_signal(signal.SIGTERM)
        _, error = child.communicate(timeout=HANGS)
        self.assertEqual(child.returncode, 75, error)
        self.assertIn("run the same command again", error)
        self.evenkeel("train", "--out", "run")


class Config(ProgramTest):
    def test_schema_lists_every_field_with_its_meaning(self):
        out, _ = self.evenkeel("config", "schema", "--json")
        fields = {field["path"]: field for field in json.loads(out)["fields"]}
        self.assertIn("optim.lr", fields)
        self.assertIn("study.criterion", fields)
        for field in fields.values():
            self.assertTrue(field["doc"], field["path"])
        text, _ = self.evenkeel("config", "schema")
        for path in fields:
            self.assertIn(path, text)

    def test_check_counts_cells_and_cost(self):
        self.write("study.toml", STUDY)
        out, _ = self.evenkeel("config", "check", "study.toml", "--json", "--set", "sweep.train.seed=[1, 2, 3]")
        answer = json.loads(out)
        self.assertEqual(len(answer["cells"]), 12)
        self.assertEqual(answer["sizes"][0]["params"], 98304)
        self.assertEqual(answer["sizes"][0]["tokens"], 12 * 300 * 16 * 128)
        self.assertNotIn("auto", json.dumps(answer["cells"][0]["config"]["optim"]))
        text, _ = self.evenkeel("config", "check", "study.toml")
        self.assertIn("4 cells", text)
        self.assertRegex(text, r"a core has just multiplied matrices at \d+ GFLOP/s \((fp32|bf16)\)")

    def test_reference_writes_pages_and_replaces_its_own_only(self):
        out, _ = self.evenkeel("config", "reference", "--out", "pages")
        self.assertEqual(out.splitlines()[0], os.path.join("pages", "README.md"))
        self.assertEqual(sorted(os.path.basename(line) for line in out.splitlines()), sorted(os.listdir(self.path("pages"))))
        self.assertEqual(self.evenkeel("config", "reference", "--out", "pages")[0], out)
        self.write(os.path.join("pages", "fields.md"), "mine")
        self.assertIn("is not replaced", self.error_of("config", "reference", "--out", "pages", code=2))


def mount_tmpfs(options):
    """A small file system of its own; None where that is not permitted."""
    folder = tempfile.mkdtemp(prefix="evenkeel-tmpfs-")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode != 0:
        os.rmdir(folder)
        return None
    return folder


@unittest.skipUnless(os.geteuid() == 0, "mounting a small file system needs root")
class SmallDisk(ProgramTest):
    def mount(self, options):
        folder = mount_tmpfs(options)
        if folder is None:
            self.skipTest("mount is not permitted here")
        self.addCleanup(os.rmdir, folder)
        self.addCleanup(subprocess.run, ["umount", folder])
        return folder

    def test_read_only_folder(self):
        folder = self.mount("ro,size=64k")
        self.write("study.toml", STUDY)
        for words in (["sweep", "study.toml"], ["train"], ["demo"]):
            sentence = self.error_of(*words, "--out", os.path.join(folder, "o"), code=5)
            self.assertIn("Read-only file system", sentence)
            self.assertIn("--out", sentence)

    def test_full_disk_then_space(self):
        folder = self.mount("size=64k")
        self.write("study.toml", STUDY)
        filler = os.path.join(folder, "filler")
        with open(filler, "wb") as out:
            try:
                out.write(b"x" * 65536)
            except OSError:
                pass
        sentence = self.error_of("sweep", "study.toml", "--out", os.path.join(folder, "o"), code=5)
        self.assertIn("No space left on device", sentence)
        self.assertIn("free some space", sentence)
        os.remove(filler)
        subprocess.run(["mount", "-o", "remount,size=8m", folder], check=True)
        self.evenkeel("sweep", "study.toml", "--out", os.path.join(folder, "o"))

    def test_a_trainer_out_of_space_stops_the_sweep(self):
        self.write("study.toml", STUDY)
        _, error = self.evenkeel("sweep", "study.toml", "--out", "o", "--jobs", "1", behaviour="full@0.1", code=5)
        self.assertIn("No space left on device", error)
        states = [cell["state"] for cell in self.read_json("o", "sweep.json")["cells"]]
        self.assertEqual(states, ["crashed", "pending", "pending", "pending"])
        self.evenkeel("sweep", "study.toml", "--out", "o")


if __name__ == "__main__":
    if not os.path.exists(EVENKEEL):
        raise SystemExit("no evenkeel in %s: build it, or set EVENKEEL_BIN" % BIN)
    unittest.main()
