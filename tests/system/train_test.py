"""What a run leaves on disk: equal runs are equal byte for byte, also across kill -9, SIGTERM and a full disk."""

import json
import math
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

from program import restored

BIN = pathlib.Path(os.environ.get("EVENKEEL_BIN", "build/release")).resolve()
EVENKEEL = str(BIN / "evenkeel")
TRAIN = str(BIN / "evenkeel-train")
READER = pathlib.Path(__file__).resolve().parent.parent / "support" / "read_safetensors.py"

# Where there is neither AVX512-BF16 nor AMX, runs refuse bf16.
FAST_BF16 = any(flag in pathlib.Path("/proc/cpuinfo").read_text().split() for flag in ("avx512_bf16", "amx_bf16"))

# A model small enough that 40 steps take a second, with everything on that has a state of its own.
SMALL = ["--set", "arch.width=32", "--set", "arch.depth=2", "--set", "arch.heads=2", "--set", "arch.context=64",
         "--set", "train.batch=8", "--set", "train.steps=40", "--set", "optim.warmup=10step", "--set", "optim.lr=0.03",
         "--set", "data.valid_tokens=2048", "--set", "train.eval_every=20step", "--set", "train.checkpoint_every=17step",
         "--set", "train.keep_checkpoints=2", "--set", "arch.dropout=0.1", "--set", "interventions.qk_norm=per_head",
         "--set", "telemetry.spectra_every=7", "--set", "train.precision=fp32"]


def train(out, *more, check=True):
    done = subprocess.run([EVENKEEL, "train", *SMALL, *more, "--out", str(out)], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise AssertionError(f"exit {done.returncode}: {done.stdout}{done.stderr}")
    return done


def files(run):
    """Every file of a run but timing.jsonl, with the environment part of the manifest removed."""
    content = {}
    for file in sorted(pathlib.Path(run).rglob("*")):
        name = str(file.relative_to(run))
        if file.is_dir() or name == "timing.jsonl":
            continue
        content[name] = file.read_bytes()
    manifest = json.loads(content["manifest.json"])
    del manifest["environment"]
    content["manifest.json"] = json.dumps(manifest, sort_keys=True).encode()
    return content


def ops_of(run):
    return json.loads((pathlib.Path(run) / "manifest.json").read_text())["environment"]["ops"]


def records(file):
    return [json.loads(line) for line in pathlib.Path(file).read_text().splitlines()]


def wait_for_step(run, step, process):
    deadline = time.monotonic() + 900  # for what hangs
    while time.monotonic() < deadline:
        try:
            if max((r["step"] for r in records(run / "metrics.jsonl")), default=0) >= step:
                return
        except (FileNotFoundError, json.JSONDecodeError):
            pass
        if process.poll() is not None:
            return
        time.sleep(0.005)
    raise AssertionError(f"{run} never reached step {step}")


class TrainTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="evenkeel-train-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def assert_same_run(self, a, b):
        left, right = files(a), files(b)
        self.assertEqual(sorted(left), sorted(right))
        for name in left:
            self.assertEqual(left[name], right[name], f"{name} differs")

    def assert_standard_readers_load(self, run):
        """A diverged run: what it holds is JSON, columns hold one type each, and the divergence is found by comparison."""
        def refuse(word):
            raise AssertionError(f"{word} is no JSON")

        def strict(text):
            return json.loads(text, parse_constant=refuse)

        for file in run.rglob("*.json"):
            strict(file.read_text())
        for command in (["ls", self.folder], ["show", run]):
            strict(subprocess.run([EVENKEEL, *command, "--json"], check=True, capture_output=True, text=True).stdout)
        for file in run.glob("*.jsonl"):
            types = {}
            for record in map(strict, file.read_text().splitlines()):
                self.assertIsInstance(record["nonfinite"], str)
                for key, value in record.items():
                    kind = {int: float}.get(type(value), type(value))
                    for one in {type(v) for v in value} if kind is list else {kind}:
                        types.setdefault(key, set()).add(one)
            for key, kinds in types.items():
                self.assertLessEqual(len(kinds - {type(None)}), 1, f"{file.name}: {key}")
        lines = (run / "metrics.jsonl").read_text().splitlines()
        restored_lines = [json.loads(line, object_hook=restored) for line in lines]
        lost = [r["step"] for r in restored_lines if any(isinstance(v, float) and not math.isfinite(v) for v in r.values())]
        self.assertTrue(lost)

        table = sqlite3.connect(":memory:")
        self.addCleanup(table.close)
        table.execute("CREATE TABLE metrics (line TEXT)")
        table.executemany("INSERT INTO metrics VALUES (?)", [(line,) for line in lines])
        found = table.execute("SELECT json_extract(line, '$.step') FROM metrics WHERE json_extract(line, '$.nonfinite') <> ''")
        self.assertEqual([step for step, in found], lost)
        count, least = table.execute("""SELECT count(json_extract(line, '$."grad/all/norm"')),
                                        min(json_extract(line, '$."grad/all/norm"')) FROM metrics""").fetchone()
        finite = [r["grad/all/norm"] for r in restored_lines if math.isfinite(r.get("grad/all/norm", math.nan))]
        self.assertEqual((count, least), (len(finite), min(finite)))

        if shutil.which("jq"):
            done = subprocess.run(["jq", 'select(.nonfinite != "") | .step', run / "metrics.jsonl"], check=True,
                                  capture_output=True, text=True)
            self.assertEqual([int(step) for step in done.stdout.split()], lost)

    def start(self, run):
        process = subprocess.Popen([TRAIN, "run", str(run)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        return process

    def prepare(self, name, *more, code=0):
        """A run directory that was interrupted before its first step."""
        run = self.folder / name
        done = train(self.folder / "prepared", *more, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        run.mkdir()
        shutil.copy(self.folder / "prepared" / "manifest.json", run)
        return run

    def test_two_equal_runs_are_equal_byte_for_byte(self):
        train(self.folder / "a")
        train(self.folder / "b")
        self.assert_same_run(self.folder / "a", self.folder / "b")
        result = json.loads((self.folder / "a" / "result.json").read_text())
        self.assertEqual(result["steps"], 40)
        self.assertIn(result["label"], ("finished", "not_learned"))

    def test_kill_9_and_resume_equals_uninterrupted(self):
        train(self.folder / "whole")
        run = self.prepare("killed")
        process = self.start(run)
        wait_for_step(run, 19, process)
        process.kill()
        process.wait()
        self.assertFalse((run / "result.json").exists(), "the run ended before it could be killed; make it longer")
        done = subprocess.run([TRAIN, "run", str(run)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_same_run(self.folder / "whole", run)

    def test_kill_9_before_the_first_checkpoint_starts_anew(self):
        train(self.folder / "whole")
        run = self.prepare("early")
        process = self.start(run)
        wait_for_step(run, 3, process)
        process.kill()
        process.wait()
        done = subprocess.run([TRAIN, "run", str(run)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_same_run(self.folder / "whole", run)

    def test_sigterm_saves_exits_75_and_resumes_to_the_same_bytes(self):
        train(self.folder / "whole")
        run = self.prepare("stopped")
        process = self.start(run)
        wait_for_step(run, 5, process)
        process.send_signal(signal.SIGTERM)
        message = process.communicate()[1]
        self.assertEqual(process.returncode, 75, message)
        self.assertIn("again", message)
        self.assertTrue(any((run / "checkpoints").iterdir()))
        done = subprocess.run([TRAIN, "run", str(run)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_same_run(self.folder / "whole", run)

    def test_the_same_command_goes_on_after_sigterm(self):
        train(self.folder / "whole")
        run = self.folder / "stopped"
        process = subprocess.Popen([EVENKEEL, "train", *SMALL, "--out", str(run)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        wait_for_step(run, 5, process)
        process.send_signal(signal.SIGTERM)
        message = process.communicate()[1]
        self.assertEqual(process.returncode, 75, message)
        train(run)
        self.assert_same_run(self.folder / "whole", run)

    def test_a_torn_tail_and_a_damaged_newest_checkpoint_lose_nothing(self):
        long = ["--set", "train.steps=120", "--set", "train.checkpoint_every=17step"]
        train(self.folder / "whole", *long)
        run = self.prepare("damaged", *long)
        process = self.start(run)
        wait_for_step(run, 41, process)
        process.kill()
        process.wait()
        self.assertFalse((run / "result.json").exists())
        with open(run / "metrics.jsonl", "a") as out:
            out.write('{"step": 39, "loss/tr')
        newest = sorted((run / "checkpoints").glob("step????????"))[-1] / "model.safetensors"
        damaged = bytearray(newest.read_bytes())
        damaged[-5] ^= 0x40
        newest.write_bytes(damaged)
        done = subprocess.run([TRAIN, "run", str(run)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("model.safetensors", done.stderr)
        self.assert_same_run(self.folder / "whole", run)

    def test_divergence_is_a_result(self):
        run = self.folder / "hot"
        done = train(run, "--set", "optim.lr=1e30", "--set", "optim.clip_norm=0", "--set", "interventions.qk_norm=off",
                     check=False)
        self.assertEqual(done.returncode, 3, done.stderr)
        result = json.loads((run / "result.json").read_text())
        self.assertEqual(result["label"], "nonfinite")
        self.assertIsNone(result["final_loss"])
        self.assertEqual(result["nonfinite"], "final_loss=nan")
        self.assertIn("nonfinite", [e["kind"] for e in records(run / "events.jsonl")])
        self.assert_standard_readers_load(run)
        again = subprocess.run([TRAIN, "run", str(run)], capture_output=True, text=True)
        self.assertEqual(again.returncode, 3)

    def test_a_relapse_is_told_beside_the_label(self):
        # After step 25 the rate is absurd: the validation loss of step 40 is far above that of step 20.
        hot = ["--set", "change.at=25step", "--set", "change.lr_factor=100"]
        train(self.folder / "hot", *hot, "--set", "optim.clip_norm=0")
        events = [e for e in records(self.folder / "hot" / "events.jsonl") if e["kind"] == "relapse"]
        self.assertIn(("valid", 40, 20), [(e["of"], e["step"], e["best_step"]) for e in events])
        result = json.loads((self.folder / "hot" / "result.json").read_text())
        self.assertTrue(result["relapsed"])
        self.assertEqual(result["relapse_step"], min(e["step"] for e in events))
        self.assertIn(result["label"], ("finished", "not_learned"))
        out = subprocess.run([EVENKEEL, "show", str(self.folder / "hot")], check=True, capture_output=True, text=True).stdout
        self.assertIn(f"relapsed at step {result['relapse_step']}", out)
        answer, = json.loads(subprocess.run([EVENKEEL, "ls", str(self.folder / "hot"), "--json"], check=True,
                                            capture_output=True, text=True).stdout)
        self.assertTrue(answer["relapsed"])
        run = self.prepare("killed", *hot, "--set", "optim.clip_norm=0")
        process = self.start(run)
        wait_for_step(run, 35, process)
        process.kill()
        process.wait()
        self.assertEqual(self.start(run).wait(), 0)
        self.assert_same_run(self.folder / "hot", run)

    def test_too_little_memory_is_exit_5_with_advice(self):
        done = subprocess.run(["sh", "-c", 'ulimit -v 8000000; exec "$@"', "sh", EVENKEEL, "train", *SMALL, "--set",
                               "train.batch=200000", "--out", str(self.folder / "huge")], capture_output=True, text=True)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("smaller model or batch", done.stderr)

    def test_divergence_after_an_interruption_leaves_the_same_files(self):
        # Warm-up over the whole run to an absurd rate, unclipped: finite for a while, then not. The squares of the
        # gradients leave fp32 in the first third of the run, where their noise has grown for a hundred steps.
        hot = ["--set", "optim.lr=1e3", "--set", "optim.clip_norm=0", "--set", "interventions.qk_norm=off",
               "--set", "train.steps=400", "--set", "optim.warmup=400step", "--set", "train.keep_checkpoints=1"]
        self.assertEqual(train(self.folder / "whole", *hot, check=False).returncode, 3)
        end = json.loads((self.folder / "whole" / "result.json").read_text())["nonfinite_step"]
        if not end > 19:
            raise AssertionError(f"diverged at step {end}, too early to be interrupted after a checkpoint")
        run = self.prepare("stopped", *hot, code=3)
        process = self.start(run)
        wait_for_step(run, 18, process)
        process.send_signal(signal.SIGTERM)
        process.communicate()
        if process.returncode == 75:
            done = subprocess.run([TRAIN, "run", str(run)], capture_output=True, text=True)
            self.assertEqual(done.returncode, 3, done.stderr)
        self.assert_same_run(self.folder / "whole", run)

    def test_treatments_with_a_state_resume_and_changes_are_recorded(self):
        more = ["--set", "interventions.sigma_reparam=on", "--set", "interventions.sigma.qkv=per_head",
                "--set", "change.at=15step", "--set", "change.until=25step", "--set", "change.attention_temperature=0.5",
                "--set", "change.eps_factor=100", "--set", "arch.residual=post_ln"]
        train(self.folder / "whole", *more)
        events = [e for e in records(self.folder / "whole" / "events.jsonl") if e["kind"] == "change"]
        self.assertEqual([(e["step"], e["what"], e["from"], e["value"]) for e in events],
                         [(16, "attention_temperature", 1, 0.5), (16, "eps_factor", 1, 100),
                          (26, "attention_temperature", 0.5, 1), (26, "eps_factor", 100, 1)])
        for update in ("per_step", "per_forward"):
            setting = ["--set", f"interventions.sigma.update={update}"]
            whole = self.folder / f"whole_{update}"
            train(whole, *more, *setting)
            shutil.rmtree(self.folder / "prepared", ignore_errors=True)
            run = self.prepare(update, *more, *setting)
            process = self.start(run)
            wait_for_step(run, 20, process)
            process.kill()
            process.wait()
            self.assertEqual(self.start(run).wait(), 0)
            self.assert_same_run(whole, run)

    def test_admin_measures_once_and_resumes_with_what_it_found(self):
        for omega in ("vector", "frozen"):
            more = ["--set", "arch.residual=admin", "--set", f"arch.admin.omega={omega}"]
            whole = self.folder / f"{omega}_whole"
            train(whole, *more)
            events = [e for e in records(whole / "events.jsonl") if e["kind"] == "admin_profile"]
            self.assertEqual(len(events), 1)
            self.assertEqual([s["site"] for s in events[0]["sublayers"]][:2], ["blocks.0.attn", "blocks.0.mlp"])
            omegas = [s["omega"] for s in events[0]["sublayers"]]
            self.assertEqual(omegas[0], 1)
            self.assertEqual(sorted(omegas[1:]), omegas[1:])
            shown = subprocess.run([EVENKEEL, "show", str(whole)], capture_output=True, text=True, check=True).stdout
            self.assertRegex(shown, r"blocks\.0\.mlp +omega [0-9.]+, variance of the branch [0-9.]+")
            shutil.rmtree(self.folder / "prepared", ignore_errors=True)
            run = self.prepare(f"{omega}_killed", *more)
            process = self.start(run)
            wait_for_step(run, 19, process)
            process.kill()
            process.wait()
            self.assertEqual(self.start(run).wait(), 0)
            self.assert_same_run(whole, run)
        # Folded, the same function is post_ln's.
        run, folded, out = self.folder / "vector_whole", self.folder / "folded.safetensors", self.folder / "post"
        subprocess.run([EVENKEEL, "export", str(run), "--fold", "-o", str(folded)], check=True, stdout=subprocess.DEVNULL)
        settings = ["--set", "arch.residual=post_ln"]
        subprocess.run([EVENKEEL, "import", str(folded), *SMALL, *settings, "--out", str(out)], check=True,
                       stdout=subprocess.DEVNULL)
        train(out, *settings)
        loss = json.loads((run / "result.json").read_text())["final_loss"]
        self.assertAlmostEqual(records(out / "metrics.jsonl")[0]["loss/valid/ce"], loss, delta=1e-5)

    def test_an_encoder_decoder_of_admin_folds_with_its_table_tied(self):
        pairs = ["--set", "arch.family=seq2seq", "--set", "arch.context=12", "--set", "data.batch_tokens=300",
                 "--set", "data.pairs.length_max=9", "--set", "optim.lr=0.003", "--set", "data.valid_tokens=500"]
        run, folded, raw, out = (self.folder / name for name in ("a", "folded.safetensors", "raw.safetensors", "post"))
        train(run, *pairs, "--set", "arch.residual=admin")
        for file, more in ((folded, ["--fold"]), (raw, [])):
            subprocess.run([EVENKEEL, "export", str(run), "-o", str(file), *more], check=True, stdout=subprocess.DEVNULL)
        plain, whole = (json.loads(subprocess.run([sys.executable, str(READER), str(file)], check=True, capture_output=True)
                                   .stdout) for file in (folded, raw))
        self.assertFalse([name for name in plain if "omega" in name])
        self.assertEqual(plain["embed.weight"], whole["embed.weight"])
        # omega_1 moved in training; it scales what the stack reads, and the next omega the norm after.
        for stack in ("encoder", "decoder"):
            omega = whole[f"{stack}.layers.0.attn_omega"]
            self.assertEqual(plain[f"{stack}.embed_scale.gain"], omega)
            self.assertNotEqual(set(omega["values"]), {1.0})
        site, width = "decoder.layers.1.cross", 32
        omega = whole[site + "_omega"]["values"]
        for folded_value, value, channel in zip(plain[site + ".q.weight"]["values"], whole[site + ".q.weight"]["values"],
                                                list(range(width)) * width):
            self.assertAlmostEqual(folded_value, value / omega[channel], delta=1e-6)
        self.assertEqual(plain[site + ".k.weight"], whole[site + ".k.weight"])
        for gain, value, w in zip(plain["decoder.layers.1.attn_norm.gain"]["values"],
                                  whole["decoder.layers.1.attn_norm.gain"]["values"], omega):
            self.assertAlmostEqual(gain, value * w, delta=1e-6)
        bare = [*pairs, "--set", "arch.residual=post_ln"]
        refused = subprocess.run([EVENKEEL, "import", str(folded), *SMALL, *bare, "--out", str(out)], capture_output=True,
                                 text=True)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("arch.embedding_scale=true", refused.stderr)
        shutil.rmtree(out, ignore_errors=True)
        bare += ["--set", "arch.embedding_scale=true"]
        subprocess.run([EVENKEEL, "import", str(folded), *SMALL, *bare, "--out", str(out)], check=True,
                       stdout=subprocess.DEVNULL)
        train(out, *bare)
        loss = json.loads((run / "result.json").read_text())["final_loss"]
        self.assertAlmostEqual(records(out / "metrics.jsonl")[0]["loss/valid/ce"], loss, delta=1e-5)

    def test_every_optimiser_resumes_and_trains_alike_with_any_threads_and_telemetry(self):
        for algorithm, lr in (("adam", "0.01"), ("radam", "0.01"), ("sgd", "0.3"), ("lars", "3.0"), ("adagrad", "0.03")):
            with self.subTest(algorithm=algorithm):
                more = ["--set", f"optim.algorithm={algorithm}", "--set", f"optim.lr={lr}", "--set", "change.at=15step",
                        "--set", "change.until=25step", "--set", "change.lr_factor=0.5"]
                whole = self.folder / f"{algorithm}_whole"
                train(whole, *more)
                use = ops_of(whole)
                self.assertEqual(use["each"][algorithm]["path"], "fused" if algorithm in ("adam", "radam") else "plain")
                self.assertTrue(use["thread_invariant"])
                self.assertNotIn("adamw", use["each"])
                loss = [r["loss/valid/ce"] for r in records(whole / "metrics.jsonl") if "loss/valid/ce" in r]
                self.assertLess(loss[-1], loss[0] - 0.1)
                other = self.folder / f"{algorithm}_other"
                train(other, *more, "--set", "train.threads=2", "--set", "telemetry.on=false")
                step = "checkpoints/step00000040"
                for name in ("model.safetensors", "optim.safetensors"):
                    self.assertEqual((whole / step / name).read_bytes(), (other / step / name).read_bytes(), name)
                shutil.rmtree(self.folder / "prepared", ignore_errors=True)
                run = self.prepare(f"{algorithm}_killed", *more)
                process = self.start(run)
                wait_for_step(run, 19, process)
                process.kill()
                process.wait()
                self.assertEqual(self.start(run).wait(), 0)
                self.assert_same_run(whole, run)

    def test_sentence_pairs_resume_and_train_alike_with_any_threads_and_telemetry(self):
        # 600 pairs: two epochs and a half, every dropout, smoothing, treatments with a state.
        more = ["--set", "arch.family=seq2seq", "--set", "arch.context=12", "--set", "data.batch_tokens=300",
                "--set", "data.pairs.count=600", "--set", "data.pairs.length_max=9", "--set", "optim.lr=0.003",
                "--set", "data.valid_tokens=500", "--set", "arch.attention_dropout=0.1",
                "--set", "arch.activation_dropout=0.1", "--set", "train.label_smoothing=0.1",
                "--set", "interventions.sigma_reparam=on"]
        whole = self.folder / "whole"
        train(whole, *more)
        use = ops_of(whole)
        self.assertTrue(use["thread_invariant"])
        self.assertEqual(use["each"]["attention"]["path"], "fused")
        self.assertIn("dropout between activation and second matrix", use["each"]["mlp"]["why"])
        heads = records(whole / "heads.jsonl")[-1]
        for site in ("encoder_layer01", "decoder_layer00", "cross_layer01"):
            self.assertEqual(len(heads[f"attn/{site}/entropy_norm"]), 2)
            self.assertEqual(len(heads[f"attn/{site}/entropy_slack"]), 2)
        self.assertFalse([e for e in records(whole / "events.jsonl") if e["kind"] == "bound_violated"])
        loss = [r["loss/valid/ce"] for r in records(whole / "metrics.jsonl") if "loss/valid/ce" in r]
        self.assertLess(loss[-1], loss[0] - 0.1)
        other = self.folder / "other"
        train(other, *more, "--set", "train.threads=2", "--set", "telemetry.on=false")
        for name in ("model.safetensors", "optim.safetensors"):
            step = "checkpoints/step00000040"
            self.assertEqual((whole / step / name).read_bytes(), (other / step / name).read_bytes(), name)
        run = self.prepare("killed", *more)
        process = self.start(run)
        wait_for_step(run, 19, process)
        process.kill()
        process.wait()
        self.assertEqual(self.start(run).wait(), 0)
        self.assert_same_run(whole, run)

    def test_folded_weights_leave_and_come_back(self):
        treated = ["--set", "interventions.sigma_reparam=on", "--set", "arch.residual=none"]
        run, folded, raw = self.folder / "a", self.folder / "folded.safetensors", self.folder / "raw.safetensors"
        train(run, *treated)
        for file, more in ((folded, ["--fold"]), (raw, [])):
            subprocess.run([EVENKEEL, "export", str(run), "-o", str(file), *more], check=True, stdout=subprocess.DEVNULL)
        plain, whole = (json.loads(subprocess.run([sys.executable, str(READER), str(file)], check=True, capture_output=True)
                                   .stdout) for file in (folded, raw))
        self.assertFalse([name for name in plain if "sigma" in name])
        # What = gamma / sigma W, value by value, as python3 reads both files; fp32 rounds twice.
        site = "blocks.1.mlp.fc1"
        scale = whole[site + ".sigma_reparam.gamma"]["values"][0] / whole[site + ".sigma_reparam.sigma"]["values"][0]
        for ours, w in zip(plain[site + ".weight"]["values"], whole[site + ".weight"]["values"]):
            self.assertAlmostEqual(ours, scale * w, delta=1e-6)
        loss = json.loads((run / "result.json").read_text())["final_loss"]
        for name, settings in (("plain", ["--set", "arch.residual=none"]), ("treated", treated)):
            out = self.folder / name
            subprocess.run([EVENKEEL, "import", str(folded), *SMALL, *settings, "--out", str(out)], check=True,
                           stdout=subprocess.DEVNULL)
            train(out, *settings)
            self.assertAlmostEqual(records(out / "metrics.jsonl")[0]["loss/valid/ce"], loss, delta=1e-5)
            self.assertEqual(records(out / "events.jsonl")[0]["kind"], "weights_imported")
        # Weights are part of what decides a result, and are never replaced by drawn ones in silence.
        drawn = self.folder / "drawn"
        train(drawn, *treated)
        hashes = [json.loads((f / "manifest.json").read_text())["config_hash"] for f in (drawn, self.folder / "treated")]
        self.assertNotEqual(*hashes)
        damaged, lost = self.folder / "damaged.safetensors", self.folder / "lost"
        damaged.write_bytes(folded.read_bytes()[:-5])
        done = subprocess.run([EVENKEEL, "import", str(damaged), *SMALL, *treated, "--out", str(lost)], capture_output=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertFalse(lost.exists())
        subprocess.run([EVENKEEL, "import", str(folded), *SMALL, *treated, "--out", str(lost)], check=True,
                       stdout=subprocess.DEVNULL)
        (lost / "checkpoints/step00000000/model.safetensors").write_bytes(b"torn")
        done = subprocess.run([EVENKEEL, "train", *SMALL, *treated, "--out", str(lost)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("import them again", done.stderr)

    def test_telemetry_changes_no_bit_of_the_training(self):
        train(self.folder / "on")
        train(self.folder / "off", "--set", "telemetry.on=false")
        step = "checkpoints/step00000040"
        for name in ("model.safetensors", "optim.safetensors"):
            self.assertEqual((self.folder / "on" / step / name).read_bytes(),
                             (self.folder / "off" / step / name).read_bytes())

    def test_fused_kernels_give_the_same_bits_for_one_and_two_threads(self):
        for precision in ("fp32", *(["bf16"] if FAST_BF16 else [])):
            bytes_of = []
            for threads in (1, 2):
                run = self.folder / f"{precision}{threads}"
                train(run, "--set", f"train.threads={threads}", "--set", f"train.precision={precision}",
                      "--set", "interventions.sigma_reparam=on")
                self.assertTrue(ops_of(run)["thread_invariant"])
                bytes_of.append([(run / name).read_bytes() for name in
                                 ("metrics.jsonl", "heads.jsonl", "checkpoints/step00000040/model.safetensors",
                                  "checkpoints/step00000040/optim.safetensors")])
            self.assertEqual(*bytes_of)

    def test_the_manifest_says_which_path_every_op_took(self):
        short = ["--set", "train.steps=1", "--set", "optim.warmup=1step", "--set", "optim.weight_decay=0.1"]
        train(self.folder / "fused", *short)
        train(self.folder / "plain", *short, "--ops", "plain")
        fused, plain = ops_of(self.folder / "fused"), ops_of(self.folder / "plain")
        self.assertEqual((fused["path"], plain["path"]), ("fused", "plain"))
        self.assertEqual((fused["tile"], plain.get("tile")), ("highway_fp32", None))
        self.assertEqual((fused["thread_invariant"], plain["thread_invariant"]), (True, False))
        ops = {"embedding", "embedding_dropout", "linear", "norm", "attention", "query_key_transform", "mlp",
               "cross_entropy", "adamw"}
        self.assertEqual(set(fused["each"]), ops)
        self.assertEqual({op for op, use in fused["each"].items() if use["path"] == "plain"}, {"embedding_dropout"})
        self.assertEqual({op for op, use in plain["each"].items() if use["path"] == "fused"}, {"adamw"})
        self.assertEqual(plain["each"]["mlp"]["why"], "train.ops is plain")
        shown = subprocess.run([EVENKEEL, "show", str(self.folder / "fused")], capture_output=True, text=True, check=True)
        self.assertRegex(shown.stdout, r"ops +fused \(highway_fp32\), embedding_dropout plain: .*any number of threads")
        limited = self.folder / "limited"
        subprocess.run([EVENKEEL, "train", *SMALL, *short, "--out", str(limited)], check=True, capture_output=True,
                       env=dict(os.environ, EVENKEEL_ISA="portable"))
        self.assertEqual(ops_of(limited)["isa"], "portable")

    def test_a_full_disk_is_exit_5_and_the_run_goes_on_when_there_is_space(self):
        mount = self.folder / "small"
        mount.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(mount)],
                          capture_output=True).returncode != 0:
            self.skipTest("mounting a small tmpfs is not permitted here")
        self.addCleanup(subprocess.run, ["umount", str(mount)])
        run = mount / "run"
        done = train(run, check=False)
        self.assertEqual(done.returncode, 5, done.stdout + done.stderr)
        self.assertIn("No space left on device", done.stderr)
        self.assertIn("free some space", done.stderr)
        subprocess.run(["mount", "-o", "remount,size=16m", str(mount)], check=True)
        train(run)
        train(self.folder / "whole")
        self.assert_same_run(self.folder / "whole", run)


if __name__ == "__main__":
    unittest.main(verbosity=2)
