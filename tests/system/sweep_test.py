"""Sweeps that are killed, stopped, crossed or changed: the same command again gives the same table."""
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
import unittest

from program import BIN, EVENKEEL, HANGS, TRAINER, ProgramTest

STUDY = """[study]
title = "Small"
[train]
steps = 20
batch = 2
eval_every = 10
[optim]
warmup = "5step"
[arch]
size = "d32"
context = 32
[sweep]
"optim.lr" = [0.03, 0.1, 0.3, 1.0]
"interventions.qk_norm" = ["off", "per_head"]
"""


def alive(process):
    """True while the process runs; a zombie does not."""
    try:
        with open("/proc/%d/stat" % process) as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class SweepCase(ProgramTest):
    study = STUDY

    def setUp(self):
        super().setUp()
        self.write("study.toml", self.study)

    def wait_for(self, condition, what):
        end = time.monotonic() + HANGS
        while not condition():
            self.assertLess(time.monotonic(), end, "waited too long for " + what)
            time.sleep(0.02)

    def cells(self, out):
        """Of sweep.json, with what the journal says since."""
        try:
            cells = self.read_json(out, "sweep.json")["cells"]
            with open(self.path(out, "journal", "sweep.jsonl")) as journal:
                events = [json.loads(line) for line in journal if line.endswith("\n")]
        except FileNotFoundError:
            return self.read_json(out, "sweep.json")["cells"] if os.path.exists(self.path(out, "sweep.json")) else []
        for event in events:
            for cell in cells:
                if cell["hash"] == event["hash"]:
                    cell.update({key: event[key] for key in ("state", "attempts", "label", "message") if key in event})
        return cells

    def done(self, out):
        """Cells that have a result, whatever sweep.json says."""
        try:
            names = os.listdir(self.path(out, "cells"))
        except FileNotFoundError:
            return 0
        return sum(os.path.exists(self.path(out, "cells", name, "result.json")) for name in names)

    def table(self, out, behaviour=""):
        text, _ = self.evenkeel("sweep", "study.toml", "--out", out, behaviour=behaviour)
        return text.split("\nReport")[0]

    def results(self, out):
        answer = {}
        for cell in self.cells(out):
            with open(self.path(out, "cells", cell["hash"], "result.json"), "rb") as source:
                answer[cell["hash"]] = source.read()
        return answer


class KillAndRunAgain(SweepCase):
    behaviour = "slow=0.3"

    def killed(self, after):
        whole = self.table("whole")
        child = self.start("sweep", "study.toml", "--out", "killed", "--jobs", "2", behaviour=self.behaviour)
        self.wait_for(lambda: self.done("killed") >= after and
                      any(cell["state"] == "running" for cell in self.cells("killed")), "cells to be done")
        child.send_signal(signal.SIGKILL)
        child.wait()
        cells = len(self.cells("killed"))
        self.assertLess(self.done("killed"), cells)
        self.assertEqual(self.table("killed"), whole)
        self.assertEqual(self.results("killed"), self.results("whole"))
        self.assertEqual(len(self.results("whole")), cells)
        self.assertEqual({cell["state"] for cell in self.cells("killed")}, {"done"})

    def test_killed_in_the_middle(self):
        self.killed(1)

    def test_killed_at_the_start(self):
        self.killed(0)


@unittest.skipUnless(os.path.exists(TRAINER), "evenkeel-train is not built in " + BIN)
class KillAndRunAgainForReal(KillAndRunAgain):
    trainer = TRAINER
    study = STUDY.replace("[sweep]", "[data]\nvalid_tokens = 256\n[sweep]").replace("0.03, 0.1, 0.3, 1.0", "0.03, 0.3")

    test_killed_at_the_start = None


SHORT = STUDY.replace("[sweep]", "[data]\nvalid_tokens = 256\n[sweep]").replace("0.03, 0.1, 0.3, 1.0", "0.03, 0.3")
LONG = SHORT.replace("steps = 20", "steps = 1000000").replace("eval_every = 10", "eval_every = 1000000")


@unittest.skipUnless(os.path.exists(TRAINER), "evenkeel-train is not built in " + BIN)
class ForkedTrainers(SweepCase):
    """Trainers that one server forks: children of the sweep that train as a process of their own would."""

    trainer = TRAINER
    study = SHORT

    def children(self, sweep):
        """The server and the trainers of a sweep; the server's input is a socket."""
        servers, trainers = [], []
        with open("/proc/%d/task/%d/children" % (sweep.pid, sweep.pid)) as source:
            for child in map(int, source.read().split()):
                try:
                    kind = os.readlink("/proc/%d/fd/0" % child)
                except OSError:
                    continue
                (servers if kind.startswith("socket:") else trainers).append(child)
        return servers, trainers

    def begin(self, *words, trainers=2):
        """Starts a sweep of long cells; returns it, its server and its trainers, which all make steps."""
        self.write("long.toml", LONG)
        sweep = self.start("sweep", "long.toml", "--out", "o", "--jobs", str(trainers), *words)
        self.addCleanup(sweep.wait)
        self.addCleanup(sweep.kill)
        self.wait_for(lambda: len(self.steps("o")) == trainers, "steps of %d cells" % trainers)
        servers, found = self.children(sweep)
        self.assertEqual((len(servers), len(found)), (1, trainers))
        return sweep, servers[0], found

    def steps(self, out):
        """Size of the records of every cell that has trained a step."""
        sizes = {}
        for cell in self.cells(out):
            file = self.path(out, "cells", cell["hash"], "heads.jsonl")
            if os.path.exists(file) and os.path.getsize(file) > 0:
                sizes[cell["hash"]] = os.path.getsize(file)
        return sizes

    def files(self, *names):
        """Every file of a run but timing.jsonl; of the manifest the configuration."""
        content = {}
        for folder, _, files in os.walk(self.path(*names)):
            for name in files:
                with open(os.path.join(folder, name), "rb") as source:
                    content[os.path.relpath(os.path.join(folder, name), self.path(*names))] = source.read()
        del content["timing.jsonl"]
        content["manifest.json"] = json.loads(content["manifest.json"])["config"]
        # A sweep names the arm, a run of its own has none.
        facts, _, rest = content["summary.jsonl"].partition(b"\n")
        content["summary.jsonl"] = ({k: v for k, v in json.loads(facts).items() if k not in ("arm", "crc")}, rest)
        return content

    def same_as_train(self, *words):
        self.evenkeel("sweep", "study.toml", "--out", "o", *words)
        self.write("one.toml", self.study.split("[sweep]")[0])
        for cell in self.cells("o"):
            one = "one" + cell["hash"]
            norm = self.read_json("o", "cells", cell["hash"], "manifest.json")["config"]["interventions"]["qk_norm"]
            self.evenkeel("train", "one.toml", "--set", "optim.lr=%s" % cell["lr"], "--set", "interventions.qk_norm=" + norm,
                          "--out", one, *words)
            self.assertEqual(self.files("o", "cells", cell["hash"]), self.files(one))
            for run in (("o", "cells", cell["hash"]), (one,)):
                self.assertEqual(self.read_json(*run, "manifest.json")["environment"]["denormals"], "flushed")
        self.assertEqual(len(self.cells("o")), 4)

    def test_a_forked_cell_equals_a_run_of_its_own(self):
        self.same_as_train()

    def test_with_fused_kernels_on_two_threads_too(self):
        self.same_as_train("--set", "train.threads=2", "--set", "train.ops=fused")

    def test_the_server_has_one_thread_and_a_trainer_as_many_as_it_was_told(self):
        # One trainer only: LibTorch's threads wait busily, and two pairs of them on two cores hardly move.
        _, server, trainers = self.begin("--set", "train.threads=2", trainers=1)
        self.assertEqual(len(os.listdir("/proc/%d/task" % server)), 1)
        self.assertGreaterEqual(len(os.listdir("/proc/%d/task" % trainers[0])), 2)

    def test_every_trainer_has_a_process_group_of_its_own(self):
        sweep, server, trainers = self.begin()
        groups = {os.getpgid(process) for process in [sweep.pid, server, *trainers]}
        self.assertEqual(len(groups), 4)
        self.assertLessEqual({server, *trainers}, groups)

    def test_server_and_trainers_die_with_a_killed_sweep(self):
        sweep, server, trainers = self.begin()
        sweep.kill()
        sweep.wait()
        self.wait_for(lambda: not any(map(alive, [server, *trainers])), "its processes to die")

    def test_sigterm_and_ctrl_c_save_the_cells(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            sweep, server, trainers = self.begin()
            sweep.send_signal(number)
            _, error = sweep.communicate(timeout=HANGS)
            self.assertEqual(sweep.returncode, 75, error)
            self.assertFalse(any(map(alive, [server, *trainers])))
            saved = [cell["hash"] for cell in self.cells("o") if cell["state"] == "interrupted"]
            self.assertEqual(len(saved), 2)
            for cell in saved:
                self.assertTrue(os.listdir(self.path("o", "cells", cell, "checkpoints")))
            shutil.rmtree(self.path("o"))

    def test_a_killed_trainer_is_forked_again(self):
        sweep, _, trainers = self.begin(trainers=1)
        os.kill(trainers[0], signal.SIGKILL)
        self.wait_for(lambda: self.cells("o")[0]["attempts"] == 2, "the second attempt")
        servers, again = self.children(sweep)
        self.assertEqual((len(servers), len(again)), (1, 1))
        self.assertIn("signal 9", self.cells("o")[0]["message"])

    def test_a_killed_server_costs_no_cell(self):
        sweep, server, trainers = self.begin()
        os.kill(server, signal.SIGKILL)
        before = self.steps("o")
        self.wait_for(lambda: all(self.steps("o")[cell] > size for cell, size in before.items()), "more steps")
        os.kill(trainers[0], signal.SIGKILL)  # started again, now without the server
        self.wait_for(lambda: sorted(cell["attempts"] for cell in self.cells("o"))[-2:] == [1, 2], "the second attempt")
        sweep.send_signal(signal.SIGTERM)
        _, error = sweep.communicate(timeout=HANGS)
        self.assertEqual(sweep.returncode, 75, error)

    def test_the_server_is_not_started_by_hand(self):
        done = subprocess.run([TRAINER, "serve"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("use `evenkeel-train run DIR`", done.stderr)

    def test_what_a_trainer_and_its_server_refuse_ends_the_sweep(self):
        self.evenkeel("sweep", "study.toml", "--out", "o")
        cell = self.path("o", "cells", self.cells("o")[0]["hash"])
        os.remove(os.path.join(cell, "result.json"))
        with open(os.path.join(cell, ".lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertIn("another process is training", self.error_of("sweep", "study.toml", "--out", "o", code=5))
        os.remove(os.path.join(cell, "log.txt"))
        os.mkdir(os.path.join(cell, "log.txt"))
        self.assertIn("cannot write " + os.path.join("o", "cells"), self.error_of("sweep", "study.toml", "--out", "o", code=5))


class Processes(SweepCase):
    def trainers(self, out):
        found = []
        for cell in self.cells(out):
            try:
                with open(self.path(out, "cells", cell["hash"], "attempts.txt")) as attempts:
                    found += [line.split() for line in attempts]
            except FileNotFoundError:
                pass
        return found

    def test_trainers_die_with_a_killed_sweep(self):
        child = self.start("sweep", "study.toml", "--out", "o", "--jobs", "2", behaviour="slow=60")
        self.wait_for(lambda: len(self.trainers("o")) == 2, "two trainers")
        child.send_signal(signal.SIGKILL)
        child.wait()
        self.wait_for(lambda: not any(alive(int(words[0])) for words in self.trainers("o")), "the trainers to die")

    def test_trainers_run_on_one_thread(self):
        self.evenkeel("sweep", "study.toml", "--out", "o")
        self.assertEqual({words[1] for words in self.trainers("o")}, {"1"})

    def test_sigterm_and_ctrl_c_stop_in_order(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            out = "o%d" % number
            child = self.start("sweep", "study.toml", "--out", out, "--jobs", "2", behaviour="slow=60")
            self.wait_for(lambda: len(self.trainers(out)) == 2, "two trainers")
            child.send_signal(number)
            _, error = child.communicate(timeout=HANGS)
            self.assertEqual(child.returncode, 75, error)
            self.assertIn("run the same command again to go on", error)
            states = [cell["state"] for cell in self.cells(out)]
            self.assertEqual(sorted(states), ["interrupted"] * 2 + ["pending"] * 6)
            self.evenkeel("sweep", "study.toml", "--out", out)

    def test_two_sweeps_never_share_a_folder(self):
        child = self.start("sweep", "study.toml", "--out", "o", behaviour="slow=60")
        self.wait_for(lambda: self.cells("o"), "the first sweep")
        sentence = self.error_of("sweep", "study.toml", "--out", "o", code=5)
        self.assertIn("another evenkeel is running", sentence)
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=HANGS)


class Outcomes(SweepCase):
    def test_a_crash_stops_nothing_else_and_is_run_again(self):
        _, error = self.evenkeel("sweep", "study.toml", "--out", "o", behaviour="crash@0.3,kill@1.0", code=6)
        self.assertIn("a made-up bug", error)
        self.assertIn("signal 9", error)
        self.assertIn("4 of 8 cells crashed", error)
        cells = self.cells("o")
        self.assertEqual(sorted(cell["attempts"] for cell in cells), [1] * 4 + [2] * 4)
        self.assertEqual(self.table("o"), self.table("whole"))

    def test_a_retry_that_works(self):
        _, error = self.evenkeel("sweep", "study.toml", "--out", "o", behaviour="crash_once@0.3")
        self.assertIn("trying again", error)
        self.evenkeel("sweep", "study.toml", "--out", "p", "--retries", "0", behaviour="crash_once@0.3", code=6)

    def test_non_finite_cells_are_results(self):
        out, _ = self.evenkeel("sweep", "study.toml", "--out", "o", "--json", behaviour="nan@1.0")
        answer = json.loads(out)
        self.assertEqual(answer["exit_code"], 0)
        self.assertEqual(answer["counts"]["done"], 8)
        labels = {cell["lr"]: (cell["label"], cell["loss"]) for cell in answer["cells"]}
        self.assertEqual(labels[1.0], ("nonfinite", None))
        self.assertEqual({cell["lr"] for cell in answer["cells"] if cell.get("nonfinite") == "loss=nan"}, {1.0})
        self.assertEqual({cell["relapsed"] for cell in answer["cells"]}, {False})
        self.assertTrue(os.path.exists(self.path("o", "report.html")))
        self.assertTrue(answer["verdict"])

    def test_a_changed_study_adds_cells_and_keeps_the_others_apart(self):
        self.evenkeel("sweep", "study.toml", "--out", "o")
        before = self.results("o")
        self.write("study.toml", STUDY.replace("[0.03, 0.1, 0.3, 1.0]", "[0.1, 0.3, 1.0, 3.0]"))
        out, error = self.evenkeel("sweep", "study.toml", "--out", "o")
        self.assertIn("2 cells in", error)
        self.assertIn("kept, not used", error)
        self.assertIn("2 cells are new", error)
        self.assertNotIn("0.03 ", out.split("\n\n")[1])
        self.assertEqual({cell["lr"] for cell in self.cells("o")}, {0.1, 0.3, 1.0, 3.0})
        for name, result in before.items():
            with open(self.path("o", "cells", name, "result.json"), "rb") as source:
                self.assertEqual(source.read(), result)
        self.assertEqual(sum(cell["attempts"] for cell in self.cells("o")), 8)

    def test_a_damaged_manifest_costs_its_own_cell_only(self):
        self.evenkeel("sweep", "study.toml", "--out", "o")
        cell = self.cells("o")[2]["hash"]
        os.remove(self.path("o", "cells", cell, "result.json"))
        self.write(os.path.join("o", "cells", cell, "manifest.json"), "{")
        _, error = self.evenkeel("sweep", "study.toml", "--out", "o")
        self.assertIn("manifest.json", error)
        self.assertIn("its folder is kept as " + os.path.join("o", "damaged", cell), error)
        self.assertEqual([c["state"] for c in self.cells("o")].count("done"), 8)

    def test_a_device_that_is_not_there_is_one_sentence(self):
        sentence = self.error_of("sweep", "study.toml", "--out", "o", "--jobs", "1", "--set", "optim.lr=0.1",
                                 behaviour="refuse@0.1", code=2)
        self.assertEqual(sentence, "made-up device; use another")
        self.assertEqual(sorted(c["attempts"] for c in self.cells("o")), [0, 1])
        self.evenkeel("sweep", "study.toml", "--out", "o", "--set", "optim.lr=0.1")

    def test_tables_are_straight(self):
        self.evenkeel("sweep", "study.toml", "--out", "o", "--set", "sweep.train.seed=[1, 2]", behaviour="nan@1.0")
        out, _ = self.evenkeel("analyze", "o")
        head, *rows = out.split("mean bracket over seeds and its interval\n")[1].splitlines()[:3]
        for row in rows:
            self.assertEqual(len(row), len(head), out)

    def test_a_single_cell(self):
        self.write("study.toml", STUDY.split("[sweep]")[0])
        out, _ = self.evenkeel("sweep", "study.toml", "--out", "o")
        self.assertIn("baseline", out)


class Refinement(SweepCase):
    """The fake trainer breaks at 0.31 without the treatment and at 0.93 with it, whatever the seed."""

    def brackets(self, out):
        text, _ = self.evenkeel("analyze", out, "--json")
        curves = json.loads(text)["curves"]
        return {c["arm"]: {(round(b["low"], 4), round(b["high"], 4)) for b in c["boundary_lr"]["brackets"]}
                for c in curves}

    def test_rounds_halve_every_bracket(self):
        out, error = self.evenkeel("sweep", "study.toml", "--out", "o", "--refine", "2", "--set", "sweep.train.seed=[1, 2]")
        self.assertIn("then 2 rounds of refinement", error)
        self.assertEqual([cell.get("round", 0) for cell in self.cells("o")], [0] * 16 + [1] * 4 + [2] * 4)
        self.assertEqual(self.brackets("o"), {"qk_norm=off": {(0.3, 0.4054)}, "qk_norm=per_head": {(0.7401, 1.0)}})
        # The table of losses is the grid's.
        self.assertNotIn("0.5477", out)
        self.assertIn("0.3 to 0.41", out)

    def test_a_folder_keeps_its_rounds_and_goes_on(self):
        once = self.table("o")
        text, error = self.evenkeel("sweep", "study.toml", "--out", "o", "--refine", "1")
        self.assertIn("8 done before, 0 to run", error)
        self.assertNotEqual(text.split("\nReport")[0], once)
        _, error = self.evenkeel("sweep", "study.toml", "--out", "o")
        self.assertIn("10 cells, 10 done before, 0 to run", error)
        self.assertNotIn("not used", error)
        self.evenkeel("sweep", "study.toml", "--out", "o", "--refine", "2")
        self.assertEqual(len(self.cells("o")), 12)
        self.assertEqual(sum(cell["attempts"] for cell in self.cells("o")), 12)
        _, error = self.evenkeel("sweep", "study.toml", "--out", "o", "--refine", "0")
        self.assertIn("4 cells", error)
        self.assertEqual(self.table("o"), once)

    def test_a_seed_that_is_never_unstable_goes_beyond_the_grid(self):
        self.evenkeel("sweep", "study.toml", "--out", "o", "--set", "sweep.optim.lr=[0.03, 0.1]", "--refine", "3")
        self.assertEqual({cell["lr"] for cell in self.cells("o") if cell.get("round") == 1}, {0.3333})
        self.assertEqual(self.brackets("o")["qk_norm=off"], {(0.2467, 0.3333)})

    def test_a_damaged_cell_is_made_anew_before_it(self):
        self.evenkeel("sweep", "study.toml", "--out", "o")
        cell = self.cells("o")[2]["hash"]
        os.remove(self.path("o", "cells", cell, "result.json"))
        self.write(os.path.join("o", "cells", cell, "manifest.json"), "{")
        self.evenkeel("sweep", "study.toml", "--out", "o", "--refine", "1")
        self.assertEqual(len(self.cells("o")), 10)

    def test_the_study_may_ask_for_it(self):
        self.write("study.toml", STUDY.replace("[study]", "[study]\nrefine = 1"))
        self.evenkeel("sweep", "study.toml", "--out", "o")
        self.assertEqual(len(self.cells("o")), 10)
        self.assertEqual(self.read_json("o", "sweep.json")["study"]["refine"], 1)

    def test_killed_between_rounds(self):
        self.write("study.toml", STUDY.replace("[study]", "[study]\nrefine = 2"))
        whole = self.table("whole")
        child = self.start("sweep", "study.toml", "--out", "killed", "--jobs", "2", behaviour="slow=0.3")
        self.wait_for(lambda: self.done("killed") >= 9, "the first round")
        child.send_signal(signal.SIGKILL)
        child.wait()
        self.assertEqual(self.table("killed"), whole)
        self.assertEqual(self.results("killed"), self.results("whole"))

    def test_the_baseline_is_the_arm_at_the_defaults_not_the_one_named_none(self):
        self.write("study.toml", STUDY.replace('"interventions.qk_norm" = ["off", "per_head"]',
                                               '"arch.residual" = ["none", "pre_ln"]'))
        self.evenkeel("sweep", "study.toml", "--out", "o")
        text, _ = self.evenkeel("analyze", "o", "--json")
        self.assertEqual(json.loads(text)["baseline"], "residual=pre_ln")
        self.write("study.toml", STUDY.replace("[study]", '[study]\nbaseline = "qk_norm=per_head"'))
        self.evenkeel("sweep", "study.toml", "--out", "named")
        text, _ = self.evenkeel("analyze", "named", "--json")
        self.assertEqual(json.loads(text)["baseline"], "qk_norm=per_head")


class Demo(SweepCase):
    def test_it_has_three_seeds_and_two_rounds(self):
        out, _ = self.evenkeel("demo", "--out", "d", "--json")
        answer = json.loads(out)
        self.assertEqual(answer["counts"]["done"], 36)
        self.assertEqual({cell["seed"] for cell in answer["cells"]}, {11, 12, 13})
        self.assertEqual([cell["round"] for cell in answer["cells"]].count(2), 6)
        self.assertEqual(answer["notes"], [])
        self.assertIn("moves the boundary LR up, by 0.", answer["verdict"][0])

    def test_under_pressure_seeds_go_first_then_rounds_and_it_says_so(self):
        # A cell takes one second at least, so sixteen cells at two a time leave no room in nine seconds.
        out, _ = self.evenkeel("demo", "--out", "d", "--json", "--jobs", "2", "--minutes", "0.15", behaviour="slow=1")
        answer = json.loads(out)
        self.assertEqual({(cell["round"], cell["seed"]) for cell in answer["cells"]}, {(0, 11), (0, 12)})
        self.assertEqual(len(answer["notes"]), 2)
        self.assertIn("seed 13", answer["notes"][0])
        self.assertIn("the last rounds of refinement", answer["notes"][1])
        self.assertEqual(self.read_json("d", "sweep.json")["notes"], answer["notes"])
        for cell in answer["cells"]:
            self.assertEqual(self.read_json("d", "cells", cell["config_hash"], "manifest.json")["config"]["train"]["steps"], 200)
        self.evenkeel("demo", "--out", "d")
        self.assertEqual(len(self.cells("d")), 36)


class LiveProgress(SweepCase):
    def test_a_terminal_sees_bars_and_no_color_is_respected(self):
        for no_color in ("", "1"):
            out = "o" + no_color
            env = dict(self.environment("slow=0.5"), TERM="xterm", NO_COLOR=no_color)
            main, other = os.openpty()
            child = subprocess.Popen([EVENKEEL, "sweep", "study.toml", "--out", out], cwd=self.folder, env=env,
                                     stdin=subprocess.DEVNULL, stdout=other, stderr=other)
            os.close(other)
            text = b""
            while True:
                try:
                    block = os.read(main, 65536)
                except OSError:
                    break
                if not block:
                    break
                text += block
            os.close(main)
            self.assertEqual(child.wait(), 0)
            self.assertIn(b"tokens/s", text)
            self.assertIn(b"running", text)
            self.assertIn(b"\x1b[K", text)
            self.assertEqual(b"\x1b[1m" in text, not no_color)


if __name__ == "__main__":
    if not os.path.exists(EVENKEEL):
        raise SystemExit("no evenkeel in %s: build it, or set EVENKEEL_BIN" % BIN)
    unittest.main()
