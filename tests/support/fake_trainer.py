#!/usr/bin/python3
"""Stands in for evenkeel-train in tests of what surrounds it: `fake_trainer.py run RUN_DIR`. It cannot `serve`, unless it
is told to serve badly.

It writes metrics, timing and a result whose losses depend on the configuration alone, and resumes like the real one.
FAKE_TRAINER in the environment says what else to do, comma separated (L is the learning rate the word applies to):
  slow=S       sleep S seconds per run (default 0)
  crash@L      exit 4 every time
  crash_once@L exit 4 on the first attempt
  kill@L       die by SIGKILL every time
  full@L       exit 5 with a sentence about a full disk
  refuse@L     exit 2 with a sentence
  nan@L        become non-finite, exit 3
  silent@L     exit 0 and leave no result
  segv@L       die by SIGSEGV every time
  garble@L     exit 0 and leave half a result
  deaf         go on after SIGTERM, having made the file "asked" in the run
  wedge        serve: never answer, having made the file "wedged" in the present folder
  stranger     serve: answer with a process that is nobody's child
"""
import json
import math
import os
import signal
import socket
import sys
import time


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def named(record, always=False):
    """None and the key "nonfinite" for numbers that are not finite, as evenkeel/base/json.h has it."""
    items = ["%s=%s" % (key, value) for key, value in sorted(record.items())
             if isinstance(value, float) and not math.isfinite(value)]
    whole = {key: None if isinstance(value, float) and not math.isfinite(value) else value
             for key, value in record.items()}
    return dict(whole, nonfinite=" ".join(items)) if items or always else whole


def line(record):
    record = named(record, always=True)
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return '%s,"crc":"%08x"}\n' % (text[:-1], crc32c(text.encode()))


def write(path, document):
    with open(path + ".part", "w") as out:
        json.dump(named(document), out, allow_nan=False)
    os.rename(path + ".part", path)


def serve(words):
    channel = socket.socket(fileno=os.dup(0))
    channel.send(b'{"ready":true}')
    while channel.recv(1 << 14):
        if "wedge" in words:
            open("wedged", "w").close()
            while True:
                time.sleep(600)
        channel.send(b'{"process":999999999}')  # above every process id there can be
    return 0


def main():
    behaviour = os.environ.get("FAKE_TRAINER", "").split(",")
    if sys.argv[1] == "serve" and {"wedge", "stranger"} & set(behaviour):
        return serve(behaviour)
    if sys.argv[1] != "run":
        return 2
    run = sys.argv[2]
    with open(os.path.join(run, "manifest.json")) as source:
        manifest = json.load(source)
    config = manifest["config"]
    lr, seed, steps = config["optim"]["lr"], config["train"]["seed"], config["train"]["steps"]
    normed = config["interventions"]["qk_norm"] != "off"
    words = dict((word + "=").split("=")[:2] for word in os.environ.get("FAKE_TRAINER", "").split(",") if word)

    def asked(what):
        return "%s@%s" % (what, lr) in words

    def path(name):
        return os.path.join(run, name)

    if os.path.exists(path("result.json")):
        with open(path("result.json")) as source:
            return 3 if json.load(source)["label"] == "nonfinite" else 0
    stopped = []
    if "deaf" in words:
        signal.signal(signal.SIGTERM, lambda *_: open(path("asked"), "w").close())
    else:
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    with open(path("attempts.txt"), "a") as log:
        log.write("%d %s\n" % (os.getpid(), os.environ.get("OMP_NUM_THREADS", "")))
    with open(path("attempts.txt")) as log:
        attempt = len(log.readlines())
    end = time.monotonic() + float(words.get("slow", 0))
    with open(path("timing.jsonl"), "a") as timing:
        timing.write(line({"step": 1, "tokens_per_s": 1000.0, "wall_s": 0.1}))
        timing.flush()
        while time.monotonic() < end and not stopped:
            time.sleep(0.02)
        if stopped:
            print("evenkeel-train: stopped; run again to go on", file=sys.stderr)
            return 75
        if asked("crash") or (asked("crash_once") and attempt == 1):
            print("evenkeel-train: a made-up bug", file=sys.stderr)
            return 4
        if asked("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if asked("segv"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if asked("garble"):
            with open(path("result.json"), "w") as out:
                out.write('{"label": "fini')
            return 0
        if asked("full"):
            print("evenkeel-train: cannot write %s: No space left on device; free some space" % path("x"), file=sys.stderr)
            return 5
        if asked("refuse"):
            print("evenkeel-train: made-up device; use another", file=sys.stderr)
            return 2
        if asked("silent"):
            return 0
        timing.write(line({"step": steps, "tokens_per_s": 1000.0, "wall_s": 0.2}))
    nan = asked("nan")
    distance = math.log10(lr / (0.3 if normed else 0.1))
    loss = 2.0 + 0.001 * seed + (distance ** 2 if distance > 0 else 0.2 * distance ** 2)
    if nan:
        loss = math.nan
    with open(path("metrics.jsonl"), "w") as metrics:
        metrics.write(line({"step": 0, "tokens": 0, "loss/valid/ce": 5.5}))
        metrics.write(line({"step": steps, "tokens": steps * 2048, "loss/valid/ce": loss, "loss/train/ce": loss}))
    result = {"label": "nonfinite" if nan else "finished", "steps": steps, "seen_tokens": steps * 2048, "l0": 5.5,
              "final_loss": loss, "train_loss": None if nan else loss, "relapsed": False, "digest": {}}
    if nan:
        result["nonfinite_step"] = steps
    write(path("result.json"), result)
    return 3 if nan else 0


if __name__ == "__main__":
    sys.exit(main())
