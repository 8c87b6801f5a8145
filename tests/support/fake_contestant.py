#!/usr/bin/python3
"""Stands in for evenkeel-train or a peer in tests of `evenkeel bench`: answers at once, with numbers given by
FAKE_CONTESTANT, a JSON object from request to answer."""
import json
import os
import sys

ANSWERS = {
    "experiment": {"name": "fake", "version": "1.0", "libtorch": "0", "parameters": 1, "baseline_bytes": 1},
    "check": {"loss": 6.0, "reference_loss": 6.0, "min_cosine": 1.0, "max_norm_error": 0.0, "tensors": 1},
    "export": {"loss": 9.0},
    "loss": {"loss": 9.0},
    "collapsed": {"collapsed_s": [0.5] * 5, "healthy_s": [0.5] * 5, "losses": [6.0],
                  "entropy_norm": {"collapsed": 0.01, "healthy": 0.9}},
    "steps": {"step_s": [0.5, 0.25, 0.5], "losses": [6.0, 5.0, 4.0]},
}

for line in sys.stdin:
    request = json.loads(line)
    what = "experiment" if "experiment" in request else request["do"]
    answer = dict(ANSWERS.get(what, {"error": "no " + what}))
    answer.update(json.loads(os.environ.get("FAKE_CONTESTANT", "{}")).get(what, {}))
    print(json.dumps(answer), flush=True)
