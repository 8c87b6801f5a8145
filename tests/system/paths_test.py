"""Training on fused kernels gives the loss curve of the elementary operations that specify them."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("EVENKEEL_BIN", "build/release")).resolve()
TEXT = ROOT.parent / "shared" / "data" / "tinyshakespeare" / "input.txt"
# Where there is neither AVX512-BF16 nor AMX, runs refuse bf16.
FAST_BF16 = any(flag in pathlib.Path("/proc/cpuinfo").read_text().split() for flag in ("avx512_bf16", "amx_bf16"))

STEPS, TAIL = 200, 50
SETTINGS = {"arch.width": 64, "arch.depth": 2, "arch.heads": 4, "arch.context": 64, "train.batch": 8,
            "train.steps": STEPS, "optim.lr": 0.003, "data.valid_tokens": 1024, "train.eval_every": 0,
            "train.checkpoint_every": 0}

# |fused - plain| of the training loss, nat: of any step, and of the mean over the last 50 steps.
#
# At the first step the paths differ by the rounding of the storage type: 1e-7 in fp32, 1e-4 in bf16. Training amplifies
# that: Adam divides by the root of the second moment, so small gradients count as much as large ones. Over 200 steps
# at this moderate rate the factor is 10 to 700, larger on the built-in language than on the text. Measured: 7e-7 and
# 9e-6 (fp32), 1e-3 and 5e-2 (bf16; on the plain path alone bf16 differs from fp32 by 3e-2); means 8e-8 and 3e-7, 5e-5
# and 4e-3. The bounds leave room for other instruction sets, whose last bits differ.
TOLERANCE = {("text", "fp32"): (2e-5, 2e-6), ("built-in", "fp32"): (2e-4, 1e-5),
             ("text", "bf16"): (2e-2, 2e-3), ("built-in", "bf16"): (2e-1, 2e-2)}


class PathsTest(unittest.TestCase):
    def losses(self, data, precision, ops):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="evenkeel-paths-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        settings = dict(SETTINGS, **{"train.precision": precision, "train.ops": ops})
        if data == "text":
            settings["data.path"] = TEXT
        words = [word for path, value in settings.items() for word in ("--set", f"{path}={value}")]
        done = subprocess.run([BIN / "evenkeel", "train", *words, "--out", folder / "run"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        records = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
        return [record["loss/train/ce"] for record in records if record["step"] > 0]

    def compare(self, data, precision):
        plain, fused = (self.losses(data, precision, ops) for ops in ("plain", "fused"))
        self.assertEqual(len(plain), STEPS)
        self.assertLess(plain[-1], plain[0] - 1, "it did not learn, so there is nothing to compare")
        differences = [f - p for f, p in zip(fused, plain)]
        self.assertNotEqual(max(map(abs, differences)), 0, "the same operations ran twice")
        each, mean = TOLERANCE[data, precision]
        largest = max(range(STEPS), key=lambda i: abs(differences[i]))
        self.assertLess(abs(differences[largest]), each, f"at step {largest + 1}")
        self.assertLess(abs(sum(differences[-TAIL:])) / TAIL, mean)

    @unittest.skipUnless(TEXT.exists(), "../shared/data/tinyshakespeare is not there")
    def test_fp32_on_text(self):
        self.compare("text", "fp32")

    def test_fp32_on_the_built_in_language(self):
        self.compare("built-in", "fp32")

    @unittest.skipUnless(TEXT.exists(), "../shared/data/tinyshakespeare is not there")
    @unittest.skipUnless(FAST_BF16, "this processor has neither AVX512-BF16 nor AMX")
    def test_bf16_on_text(self):
        self.compare("text", "bf16")

    @unittest.skipUnless(FAST_BF16, "this processor has neither AVX512-BF16 nor AMX")
    def test_bf16_on_the_built_in_language(self):
        self.compare("built-in", "bf16")


if __name__ == "__main__":
    unittest.main(verbosity=2)
