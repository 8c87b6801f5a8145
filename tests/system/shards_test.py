"""Several processes that run one sweep in one folder."""
import os
import signal
import subprocess
import time
import unittest

from program import EVENKEEL, FAKE_TRAINER, HANGS, TRAINER, ProgramTest

STUDY = """[study]
title = "Shards"
[arch]
width = 16
depth = 1
heads = 2
context = 32
[train]
steps = 60
batch = 4
precision = "fp32"
eval_every = "60step"
checkpoint_every = "7step"
[optim]
warmup = "10step"
[data]
valid_tokens = 512
[sweep]
"optim.lr" = [0.01, 0.1, 1.0]
"train.seed" = [1, 2]
"interventions.qk_norm" = ["off", "per_head"]
"""
CELLS = 12


class Shards(ProgramTest):
    trainer = TRAINER

    def setUp(self):
        super().setUp()
        self.write("study.toml", STUDY)
        self.shards = []

    def tearDown(self):
        for shard in self.shards:
            if shard.poll() is None:
                shard.kill()
                shard.wait()
        super().tearDown()

    def shard(self, words, lease="2", **environment):
        process = subprocess.Popen([EVENKEEL, "sweep", "study.toml", "--out", "s", "--jobs", "1", "--lease", lease, *words], cwd=self.folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**self.environment(), **environment})
        self.shards.append(process)
        return process

    def wait_for(self, condition, what):
        end = time.monotonic() + HANGS
        while not condition():
            self.assertLess(time.monotonic(), end, "waited too long for " + what)
            time.sleep(0.02)

    def results(self, out="s"):
        cells = self.path(out, "cells")
        if not os.path.isdir(cells):
            return []
        return [name for name in os.listdir(cells) if os.path.exists(os.path.join(cells, name, "result.json"))]

    def files(self, out):
        found = {}
        for name in self.results(out):
            for file in ("metrics.jsonl", "heads.jsonl", "events.jsonl", "summary.jsonl", "result.json"):
                with open(self.path(out, "cells", name, file), "rb") as source:
                    found[name, file] = source.read()
        return found

    def equals_an_undisturbed_sweep(self):
        self.evenkeel("sweep", "study.toml", "--out", "twin")
        self.assertEqual(self.files("s"), self.files("twin"))
        ours, twin = self.read_json("s", "sweep.json")["cells"], self.read_json("twin", "sweep.json")["cells"]
        self.assertEqual([(c["hash"], c["state"], c["label"]) for c in ours], [(c["hash"], c["state"], c["label"]) for c in twin])
        self.assertFalse(os.path.exists(self.path("s", "leases")), "nothing is left behind")
        self.assertFalse(os.path.exists(self.path("s", "journal")))

    def test_every_cell_is_trained_once(self):
        shards = [self.shard(["--shard", "%d/3" % i]) for i in (1, 2, 3)]
        for shard in shards:
            out, _ = shard.communicate(timeout=HANGS)
            self.assertEqual(shard.returncode, 0, out)
            self.assertIn("with others, shard", out)
            self.assertIn("Report:", out)
        self.assertEqual([c["attempts"] for c in self.read_json("s", "sweep.json")["cells"]], [1] * CELLS)
        self.equals_an_undisturbed_sweep()

    def test_what_a_killed_shard_leaves_is_finished_by_the_others(self):
        first, second = self.shard(["--shard", "1/2"]), self.shard(["--shard", "2/2"])
        self.wait_for(lambda: len(self.results()) >= 2, "two results")
        first.kill()
        out, _ = second.communicate(timeout=HANGS)
        self.assertEqual(second.returncode, 0, out)
        self.assertEqual(len(self.results()), CELLS)
        first.communicate()
        # Its clock is left, and its journal: nobody knows whether it is dead. The next who is alone clears up.
        self.evenkeel("sweep", "study.toml", "--out", "s")
        for name in ("leases", "journal"):
            for entry in os.listdir(self.path("s", name)) if os.path.exists(self.path("s", name)) else []:
                self.fail("%s is left in %s" % (entry, name))
        self.equals_an_undisturbed_sweep()

    def test_a_stopped_shard_keeps_what_its_trainer_still_writes(self):
        first, second = self.shard(["--shard", "1/2"]), self.shard(["--shard", "2/2"])
        self.wait_for(lambda: len(self.results()) >= 1, "a result")
        first.send_signal(signal.SIGSTOP)
        out, _ = second.communicate(timeout=HANGS)  # the trainer of the stopped one goes on, and ends
        self.assertEqual(second.returncode, 0, out)
        first.send_signal(signal.SIGCONT)
        out, _ = first.communicate(timeout=HANGS)
        self.assertEqual(first.returncode, 0, out)
        self.assertEqual(sorted(c["attempts"] for c in self.read_json("s", "sweep.json")["cells"])[-1], 1, "no cell was trained twice")
        self.equals_an_undisturbed_sweep()

    def test_an_interrupted_shard_leaves_its_cell_to_the_others_at_once(self):
        first, second = self.shard(["--shard", "1/2"], lease="600"), self.shard(["--shard", "2/2"], lease="600")
        self.wait_for(lambda: len(self.results()) >= 1, "a result")
        first.send_signal(signal.SIGTERM)
        out, _ = first.communicate(timeout=HANGS)
        self.assertIn(first.returncode, (0, 75), out)
        out, _ = second.communicate(timeout=HANGS)
        self.assertEqual(second.returncode, 0, out)
        self.equals_an_undisturbed_sweep()

    def test_shards_and_a_sweep_alone_keep_each_other_out(self):
        shard = self.shard(["--shard", "1/1"])
        self.wait_for(lambda: os.path.exists(self.path("s", "sweep.json")), "sweep.json")
        error = self.evenkeel("sweep", "study.toml", "--out", "s", code=5)[1]
        self.assertIn("another evenkeel is running", error)
        out, _ = shard.communicate(timeout=HANGS)
        self.assertEqual(shard.returncode, 0, out)

    def test_numbers_from_the_environment(self):
        for variables, said in (({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "4"}, "shard 3 of 4"),
                                ({"SKYPILOT_NODE_RANK": "0", "SKYPILOT_NUM_NODES": "2"}, "shard 1 of 2"),
                                ({"JOB_COMPLETION_INDEX": "2"}, "shard 3 of 3")):
            out, _ = self.shard(["--shard", "auto"], **variables).communicate(timeout=HANGS)
            self.assertIn(said, out)
        self.assertIn("found no array variable", self.evenkeel("sweep", "study.toml", "--out", "s", "--shard", "auto", code=2)[1])
        out, _ = self.shard(["--shard", "auto"], SLURM_ARRAY_TASK_ID="x").communicate(timeout=HANGS)
        self.assertIn("SLURM_ARRAY_TASK_ID must be a whole number", out)

    def test_what_one_machine_cannot_do_another_does(self):
        bad = self.shard(["--shard", "1/2", "--retries", "0"], EVENKEEL_TRAIN=FAKE_TRAINER, FAKE_TRAINER="full@0.01,full@0.1,full@1.0,slow=0.1")
        good = self.shard(["--shard", "2/2"], EVENKEEL_TRAIN=FAKE_TRAINER, FAKE_TRAINER="slow=0.3")
        self.assertEqual((bad.communicate(timeout=HANGS) and bad.returncode), 5)
        out, _ = good.communicate(timeout=HANGS)
        self.assertEqual(good.returncode, 0, out)
        self.assertEqual({c["state"] for c in self.read_json("s", "sweep.json")["cells"]}, {"done"})

    def test_refinement_is_left_to_one_process(self):
        shard = self.shard(["--shard", "1/1", "--refine", "1"], EVENKEEL_TRAIN=FAKE_TRAINER, FAKE_TRAINER="")
        out, _ = shard.communicate(timeout=HANGS)
        self.assertEqual(shard.returncode, 0, out)
        self.assertIn("without --shard then narrows", out)
        self.assertEqual(len(self.read_json("s", "sweep.json")["cells"]), CELLS)

    def test_errors(self):
        for text in ("0/2", "3/2", "1", "a/b", "1/2x", "1/", "/2", "-1/2", "1/0"):
            self.assertIn("--shard must be i/n", self.evenkeel("sweep", "study.toml", "--out", "x", "--shard=" + text, code=2)[1])
        self.evenkeel("sweep", "study.toml", "--out", "x", "--lease", "5", code=2)
        self.assertFalse(os.path.exists(self.path("x")))

    def test_a_cell_that_one_gave_up_is_not_tried_by_the_others(self):
        shards = [self.shard(["--shard", "%d/2" % i, "--retries", "0"], EVENKEEL_TRAIN=FAKE_TRAINER, FAKE_TRAINER="crash@0.1,slow=0.2") for i in (1, 2)]
        for shard in shards:
            out, _ = shard.communicate(timeout=HANGS)
            self.assertEqual(shard.returncode, 6, out)
        cells = self.read_json("s", "sweep.json")["cells"]
        self.assertEqual([c["state"] for c in cells], ["crashed" if c["lr"] == 0.1 else "done" for c in cells])
        self.assertEqual([c["attempts"] for c in cells], [1] * CELLS)


if __name__ == "__main__":
    unittest.main()
