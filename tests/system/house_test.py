#!/usr/bin/python3
"""That a thing is added in few places: the lists of docs/design/house.md are the only ones.

For everything of a kind that there is, the sources that know its name are looked up. Who finds another place has found a second
list, which whoever adds the next one will forget.
"""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
REFERENCE = "evenkeel/reference/"  # formula, source and cost of everything: a row each


def sources():
    for folder in ("evenkeel", "cli"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in (".h", ".cpp"):
                # Comments may speak of anything.
                yield str(file.relative_to(ROOT)), re.sub(r"//.*", "", file.read_text())


SOURCES = dict(sources())


def places(pattern):
    return {name for name, text in SOURCES.items() if re.search(pattern, text)}


class House(unittest.TestCase):
    def test_a_treatment_is_a_field_a_pair_and_a_line(self):
        # What the defaults, the demonstration, the benchmark and examples of the help speak of.
        established = {"qk_norm", "sigma_reparam", "z_loss"}
        registry = SOURCES["evenkeel/interventions/registry.cpp"]
        names = re.findall(r'\{"(\w+)",', registry)
        self.assertGreater(len(names), 10)
        for name in names:
            if name in established:
                continue
            apply = re.search(r'\{"%s",.*?(apply_\w+)\(' % name, registry, re.S)[1]
            pair = {file for file in places(r"\b%s\(" % apply) if "/registry" not in file}
            with self.subTest(treatment=name):
                self.assertEqual(len(pair), 2, pair)
                known = places(r"\binterventions\.%s\b" % name) - pair
                known = {file for file in known if not file.startswith(REFERENCE)}
                # A contradiction is refused where the others are; a metric of its own says when it is there.
                known -= {"evenkeel/spec/contradictions.cpp", "evenkeel/telemetry/metric_table.cpp"}
                # Freezing refuses what another treatment would change.
                known -= {"evenkeel/interventions/freeze.cpp"}
                self.assertEqual(known, set())

    def test_a_family_is_known_to_its_rows_alone(self):
        known = places(r"\bFamily::k[A-Z]")
        known = {file for file in known if not file.startswith("evenkeel/spec/families/")}
        # The enum, the row that builds the model, the shapes that the benchmark times.
        known -= {"evenkeel/spec/arch.h", "evenkeel/models/registry.cpp", "evenkeel/bench/config.h", "evenkeel/bench/config.cpp"}
        self.assertEqual(known, set())

    def test_an_optimiser_is_a_rule_and_a_row(self):
        kinds = re.findall(r"OptimiserKind::(k\w+), \"", SOURCES["evenkeel/spec/optim.h"])
        self.assertGreater(len(kinds), 10)
        for kind in kinds:
            with self.subTest(optimiser=kind):
                known = {file for file in places(r"OptimiserKind::%s\b" % kind) if not file.startswith(REFERENCE)}
                # The edge of stability, where one is known.
                known -= {"evenkeel/spec/optim.h", "evenkeel/optim/optimiser.cpp", "evenkeel/curvature/sharpness.cpp"}
                known -= {"evenkeel/spec/contradictions.cpp"}  # cautions
                self.assertEqual(known, set())

    def test_a_rule_of_clipping_is_known_to_the_guard_alone(self):
        for rule in ("adagc", "zclip", "skip_step"):
            with self.subTest(rule=rule):
                users = places(r'#include "evenkeel/optim/%s\.h"' % rule)
                self.assertEqual(users, {f"evenkeel/optim/{rule}.cpp", "evenkeel/optim/gradient_guard.h"})

    def test_a_statistic_of_a_head_is_computed_twice_and_named_once(self):
        header = SOURCES["evenkeel/kernels/attention.h"]
        names = re.findall(r'\{"(\w+)", &AttentionStats::\w+\b', header)
        self.assertGreater(len(names), 7)
        consumed = {"entropy", "entropy_norm", "logit_max"}  # detectors, predictors, charts and QK-Clip go by these
        for name in set(names) - consumed:
            with self.subTest(statistic=name):
                known = places(r"(\.|::|>)%s\b(?!\()" % name) | places(r"attn/\{layer\}/%s\"" % name)
                # The fused pass, its reference, the row of the metric table, the table of names.
                known -= {"evenkeel/kernels/attention.h", "evenkeel/kernels/attention_forward.cpp",
                          "evenkeel/ops/attention.cpp", "evenkeel/telemetry/metric_table.cpp"}
                known = {file for file in known if not file.startswith(("evenkeel/analysis/", REFERENCE))}
                self.assertEqual(known, set())


if __name__ == "__main__":
    unittest.main()
