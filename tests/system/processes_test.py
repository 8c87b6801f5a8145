"""What the programs make of the processes around them: streams that are full, closed or left, signals that are ignored,
limits, trainers and trainer servers that die or hang."""
import fcntl
import json
import os
import select
import signal
import subprocess
import time
import unittest

from program import BIN, EVENKEEL, HANGS, TRAINER, StudyTest


class ProcessCase(StudyTest):
    def shell(self, script, behaviour=""):
        """Runs a shell script with the program as $E; returns exit code, standard output and error."""
        done = subprocess.run(["sh", "-c", script], cwd=self.folder, env=dict(self.environment(behaviour), E=EVENKEEL),
                              text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=HANGS)
        return done.returncode, done.stdout, done.stderr

    def wait_for(self, condition, what):
        end = time.monotonic() + HANGS
        while not condition():
            self.assertLess(time.monotonic(), end, "waited too long for " + what)
            time.sleep(0.02)

    def attempts(self, out):
        """Lines of the trainers that were started, over all runs."""
        lines = []
        for folder, _, files in os.walk(self.path(out)):
            if "attempts.txt" in files:
                with open(os.path.join(folder, "attempts.txt")) as source:
                    lines += source.readlines()
        return lines


class Streams(ProcessCase):
    def test_lost_progress_costs_no_run(self):
        for command in ("train run.toml", "sweep study.toml"):
            out = command.split()[0]
            code, answer, _ = self.shell("exec $E %s --json --out %s 2>/dev/full" % (command, out))
            self.assertEqual(code, 0, command)
            self.assertEqual(json.loads(answer)["exit_code"], 0)
        code, _, _ = self.shell("exec $E sweep study.toml --out crashed 2>/dev/full", behaviour="crash@0.3")
        self.assertEqual(code, 6)
        code, _, _ = self.shell("exec $E ls none 2>/dev/full")
        self.assertEqual(code, 2)

    def test_an_answer_that_cannot_be_written_is_exit_5(self):
        self.evenkeel("sweep", "study.toml", "--out", "s")
        for command in ("config schema", "config schema --json", "config metrics", "config check study.toml --json", "ls s",
                        "ls s --json", "analyze s", "analyze s --json", "show s/cells/%s" % self.cells("s")[0]["hash"],
                        "--help", "--version", "train run.toml --out r", "sweep study.toml --out s", "verify s"):
            code, _, error = self.shell("exec $E %s > /dev/full" % command)
            self.assertEqual((code, "No space left on device" in error), (5, True), "%s: %s" % (command, error))
        self.assertTrue(os.path.exists(self.path("r", "result.json")), "the run itself is whole")

    def test_closed_descriptors_get_no_data(self):
        self.evenkeel("train", "run.toml", "--out", "whole")
        code, _, _ = self.shell("exec $E train run.toml --out r <&- >&- 2>&-")
        self.assertEqual(code, 5)
        code, _, _ = self.shell("exec $E sweep study.toml --out s <&- >&- 2>&-")
        self.assertEqual(code, 5)
        self.assertEqual({cell["state"] for cell in self.cells("s")}, {"done"})
        for name in ("manifest.json", "metrics.jsonl", "result.json"):
            with open(self.path("whole", name)) as one, open(self.path("r", name)) as other:
                left, right = one.read(), other.read()
            if name == "manifest.json":
                left, right = (dict(json.loads(text), environment={}) for text in (left, right))
            self.assertEqual(left, right)
        code, _, _ = self.shell("exec $E ls none 2>&-")
        self.assertEqual(code, 2)

    def test_a_reader_that_leaves_ends_a_command_as_any_other(self):
        child = self.start("config", "schema", "--json")
        fcntl.fcntl(child.stdout, fcntl.F_SETPIPE_SZ, 4096)
        child.stdout.close()
        error = child.stderr.read()
        self.assertEqual((child.wait(timeout=HANGS), error), (-signal.SIGPIPE, ""))

    def test_progress_nobody_reads_costs_no_run(self):
        child = self.start("sweep", "study.toml", "--out", "s", "--json", behaviour="slow=0.1")
        child.stderr.close()
        self.assertEqual(json.loads(child.stdout.read())["exit_code"], 0)
        self.assertEqual(child.wait(timeout=HANGS), 0)


class Signals(ProcessCase):
    def test_ignored_sigchld_is_not_inherited(self):
        for command in ("train run.toml", "sweep study.toml"):
            code, _, error = self.shell("exec env --ignore-signal=SIGCHLD $E %s --out %s" % (command, command.split()[0]))
            self.assertEqual(code, 0, error)

    def test_a_lost_terminal_saves(self):
        child = self.start("train", "run.toml", "--out", "r", behaviour="slow=60")
        self.wait_for(lambda: self.attempts("r"), "the trainer")
        child.send_signal(signal.SIGHUP)
        _, error = child.communicate(timeout=HANGS)
        self.assertEqual(child.returncode, 75, error)
        child = self.start("sweep", "study.toml", "--out", "s", "--jobs", "2", behaviour="slow=60")
        self.wait_for(lambda: len(self.attempts("s")) == 2, "two trainers")
        child.send_signal(signal.SIGHUP)
        _, error = child.communicate(timeout=HANGS)
        self.assertEqual(child.returncode, 75, error)
        self.assertEqual(sorted(cell["state"] for cell in self.cells("s")), ["interrupted"] * 2 + ["pending"] * 6)
        self.evenkeel("sweep", "study.toml", "--out", "s")

    def test_nohup_is_respected(self):
        child = subprocess.Popen(["nohup", EVENKEEL, "train", "run.toml", "--out", "r"], cwd=self.folder,
                                 env=self.environment("slow=1"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        self.wait_for(lambda: self.attempts("r"), "the trainer")
        child.send_signal(signal.SIGHUP)
        self.assertEqual(child.wait(timeout=HANGS), 0)

    def test_a_second_ctrl_c_kills(self):
        for command, out in (("train run.toml", "r"), ("sweep study.toml --jobs 1", "s")):
            child = self.start(*command.split(), "--out", out, behaviour="slow=600,deaf")
            self.wait_for(lambda: self.attempts(out), "the trainer")
            trainer = int(self.attempts(out)[0].split()[0])
            child.send_signal(signal.SIGINT)
            self.wait_for(lambda: any("asked" in files for _, _, files in os.walk(self.path(out))), "the first to arrive")
            self.assertIsNone(child.poll())
            child.send_signal(signal.SIGINT)
            _, error = child.communicate(timeout=HANGS)
            self.assertEqual(child.returncode, 75, error)
            self.assertFalse(os.path.exists("/proc/%d" % trainer))

    def test_outside_training_too_a_signal_is_exit_75(self):
        # A command that hangs in an answer nobody reads yet.
        self.evenkeel("sweep", "study.toml", "--out", "s", "--set", "sweep.train.seed=[1,2]")
        for command in ("config schema --json", "sweep study.toml --out s --json --set sweep.train.seed=[1,2]"):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                ends = os.pipe()
                fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
                child = subprocess.Popen([EVENKEEL, *command.split()], cwd=self.folder, env=self.environment(), text=True,
                                         stdin=subprocess.DEVNULL, stdout=ends[1], stderr=subprocess.PIPE)
                os.close(ends[1])
                select.select([ends[0]], [], [], HANGS)
                time.sleep(0.05)  # into the write that blocks; earlier would do as well
                child.send_signal(number)
                _, error = child.communicate(timeout=HANGS)
                os.close(ends[0])
                self.assertEqual(child.returncode, 75, error)
                self.assertIn("stopped; run the same command again", error)


class Trainers(ProcessCase):
    def test_a_trainer_ended_by_a_signal_is_no_code_of_its_own(self):
        for word, code in (("kill", 5), ("segv", 6)):
            sentence = self.error_of("train", "run.toml", "--set", "optim.lr=0.1", "--out", word, behaviour=word + "@0.1", code=code)
            self.assertIn("killed by signal", sentence)
        _, error = self.evenkeel("sweep", "study.toml", "--out", "s", behaviour="segv@0.1", code=6)
        self.assertIn("killed by signal 11", error)

    def test_a_server_that_hangs_does_not_hold_up_ctrl_c(self):
        child = self.start("sweep", "study.toml", "--out", "s", "--jobs", "1", behaviour="wedge,slow=60")
        self.wait_for(lambda: os.path.exists(self.path("wedged")), "the server to be asked")
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=HANGS)
        self.assertEqual(child.returncode, 75, error)
        self.assertEqual(self.attempts("s"), [], "no trainer was started after the signal")
        self.assertEqual({cell["state"] for cell in self.cells("s")}, {"pending"})

    def test_a_server_that_hangs_costs_no_cell(self):
        self.evenkeel("sweep", "study.toml", "--out", "s", "--jobs", "1", behaviour="wedge")
        self.assertEqual([cell["attempts"] for cell in self.cells("s")], [1] * 8)

    def test_a_trainer_that_never_was_a_child_has_ended(self):
        # The server names a process that has nothing to do with the sweep.
        self.evenkeel("sweep", "study.toml", "--out", "s", "--jobs", "1", "--retries", "0", behaviour="stranger", code=6)
        self.assertIn("nobody saw how", self.cells("s")[0]["message"])

    def test_the_manifest_and_result_of_a_cell_count_whatever_its_trainer_says(self):
        _, error = self.evenkeel("sweep", "study.toml", "--out", "s", behaviour="garble@0.3", code=6)
        self.assertIn("result.json", error)
        self.assertTrue(os.path.exists(self.path("s", "report.html")), "verdict and report are made all the same")
        self.evenkeel("sweep", "study.toml", "--out", "s")
        self.assertEqual({cell["state"] for cell in self.cells("s")}, {"done"})


@unittest.skipUnless(os.path.exists(TRAINER), "evenkeel-train is not built in " + BIN)
class Limits(ProcessCase):
    trainer = TRAINER

    def test_a_limit_on_file_size_is_exit_5(self):
        code, _, error = self.shell("ulimit -f 64; exec $E train run.toml --set optim.lr=0.03 --out r")
        self.assertEqual(code, 5, error)
        self.assertIn("ulimit -f", error)
        self.evenkeel("train", "run.toml", "--set", "optim.lr=0.03", "--out", "r")
        code, _, error = self.shell("ulimit -f 64; exec $E report r -o page.html")
        self.assertEqual(code, 5, error)
        self.assertFalse(os.path.exists(self.path("page.html")))
        self.assertEqual([name for name in os.listdir(self.folder) if name.endswith(".part")], [])

    def test_too_little_memory_to_begin_is_exit_5(self):
        # 300 MB do for `evenkeel`, and not for the libraries of the trainer; 700 MB not for loading them all.
        for megabytes in (300, 700):
            code, _, error = self.shell("ulimit -v %d000; exec $E train run.toml --set optim.lr=0.03 --out r" % megabytes)
            self.assertEqual(code, 5, error)
            self.assertIn("ulimit -v", error)
        code, _, error = self.shell("ulimit -v 300000; exec $E probe spectra run.toml --set optim.lr=0.03")
        self.assertEqual(code, 5, error)

    def test_a_trainer_saves_when_its_terminal_is_lost(self):
        words = ["train", "run.toml", "--set", "train.steps=100000", "--set", "train.eval_every=100000", "--out", "r"]
        child = self.start(*words)
        self.wait_for(lambda: os.path.exists(self.path("r", "heads.jsonl")) and os.path.getsize(self.path("r", "heads.jsonl")),
                      "the first step")
        with open("/proc/%d/task/%d/children" % (child.pid, child.pid)) as source:
            os.kill(int(source.read().split()[0]), signal.SIGHUP)
        _, error = child.communicate(timeout=HANGS)
        self.assertEqual(child.returncode, 75, error)
        self.assertTrue(os.listdir(self.path("r", "checkpoints")))


if __name__ == "__main__":
    if not os.path.exists(EVENKEEL):
        raise SystemExit("no evenkeel in %s: build it, or set EVENKEEL_BIN" % BIN)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup the programs would rightly ignore it
    unittest.main()
