"""What the system tests share: the programs under test and a folder of their own."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.abspath(os.environ.get("EVENKEEL_BIN", os.path.join(ROOT, "build", "release")))
EVENKEEL = os.path.join(BIN, "evenkeel")
TRAINER = os.path.join(BIN, "evenkeel-train")
HANGS = 900  # seconds after which something has hung, on a machine however busy
FAKE_TRAINER = os.path.join(ROOT, "tests", "support", "fake_trainer.py")


def restored(item):
    """object_hook of json: numbers that are not finite in their place, as docs/formats/json.md tells a user to read them."""
    for entry in item.pop("nonfinite", "").split():
        path, _, word = entry.rpartition("=")
        key, *indices = path.replace("]", "").split("[")
        holder, at = item, key
        for index in indices:
            holder, at = holder[at], int(index)
        assert holder[at] is None, entry
        holder[at] = float(word)
    return item


class ProgramTest(unittest.TestCase):
    """Runs `evenkeel` in a fresh folder, with the fake trainer unless `trainer` says otherwise."""

    trainer = FAKE_TRAINER

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="evenkeel-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        with open(self.path(name), "w") as out:
            out.write(text)
        return self.path(name)

    def environment(self, behaviour=""):
        env = dict(os.environ, EVENKEEL_TRAIN=self.trainer, FAKE_TRAINER=behaviour)
        env.pop("NO_COLOR", None)
        return env

    def evenkeel(self, *words, behaviour="", code=0):
        """Runs the command; fails unless it ends with `code`. Returns standard output and error."""
        done = subprocess.run([EVENKEEL, *words], cwd=self.folder, env=self.environment(behaviour), text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=HANGS)
        self.assertEqual(done.returncode, code, "\n".join([" ".join(words), done.stdout, done.stderr]))
        self.assertNotIn("\x1b", done.stdout + done.stderr, "control codes in a pipe")
        return done.stdout, done.stderr

    def start(self, *words, behaviour=""):
        """Starts the command without waiting."""
        child = subprocess.Popen([EVENKEEL, *words], cwd=self.folder, env=self.environment(behaviour), text=True,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(child.stderr.close)
        self.addCleanup(child.stdout.close)
        return child

    def error_of(self, *words, code, behaviour=""):
        """The one sentence that a failing command says, without its prefix."""
        stdout, stderr = self.evenkeel(*words, code=code, behaviour=behaviour)
        self.assertEqual(stdout, "")
        lines = [line for line in stderr.splitlines() if line]
        self.assertTrue(lines and lines[-1].startswith("evenkeel: "), stderr)
        return lines[-1][len("evenkeel: "):]

    def read_json(self, *names):
        with open(self.path(*names)) as source:
            return json.load(source)


# Eight cells that the fake trainer ends at once, and that the real one trains in a second or two each.
SMALL_STUDY = """[study]
title = "Small"
[train]
steps = 20
batch = 2
eval_every = 10
checkpoint_every = "10step"
keep_checkpoints = 2
[optim]
warmup = "5step"
[arch]
size = "d32"
context = 32
[data]
valid_tokens = 256
[sweep]
"optim.lr" = [0.03, 0.1, 0.3, 1.0]
"interventions.qk_norm" = ["off", "per_head"]
"""


class StudyTest(ProgramTest):
    """In its folder lie study.toml, a small sweep, and run.toml, one run of it."""

    def setUp(self):
        super().setUp()
        self.write("study.toml", SMALL_STUDY)
        self.write("run.toml", SMALL_STUDY.split("[sweep]")[0])

    def cells(self, out):
        """What sweep.json says of each cell; nothing before there is one."""
        return self.read_json(out, "sweep.json")["cells"] if os.path.exists(self.path(out, "sweep.json")) else []
