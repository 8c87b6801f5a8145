"""`evenkeel bench`: the document it answers with, and what it says when something is missing or wrong. No times are
asserted."""
import json
import os
import unittest

from program import ROOT, TRAINER, ProgramTest

FAKE = os.path.join(ROOT, "tests", "support", "fake_contestant.py")
QUICK = ["--config", "tiny", "--rounds", "1", "--steps", "2", "--pairs", "5"]
# Other programs may be running: threads that wait must not spin.
os.environ["OMP_WAIT_POLICY"] = "passive"


class Measures(ProgramTest):
    trainer = TRAINER

    def bench(self, *words):
        stdout, _ = self.evenkeel("bench", *QUICK, *words, "--json")
        return json.loads(stdout)

    def test_one_document_with_everything(self):
        answer = self.bench("--peers", f"other={FAKE},torch", "--peer-python", "/nowhere/python")
        self.assertLessEqual({"processor", "instruction_sets", "amx", "cores", "evenkeel", "libtorch", "environment"},
                             set(answer["machine"]))
        config = answer["configs"]["tiny"]
        self.assertIs(config["answers_checked"], True, config.get("why"))
        for key in ("tokens_per_s", "peak_bytes", "baseline_bytes"):
            self.assertGreater(config[key], 0, key)
        self.assertGreater(config["peak_bytes"], config["baseline_bytes"])
        overhead = config["telemetry_overhead"]
        self.assertGreaterEqual(overhead["upper95"], overhead["median"])
        self.assertEqual((overhead["pairs"], overhead["same_losses"]), (5, True))
        for path in ("fused", "plain"):
            self.assertIs(config["bits"][path]["telemetry"], True, path)
        self.assertGreater(config["first_step_s"]["median"], 0)
        self.assertTrue(config["processes"]["ratio"] or config["processes"]["why"])
        # The peer that is there, and the one that is not.
        self.assertEqual(list(config["ratio"]), ["other"])
        self.assertEqual(config["peers"]["other"]["tokens_per_s"], 64 / 0.5)
        self.assertEqual(config["peers"]["torch"]["why"],
                         "cannot execute /nowhere/python: No such file or directory; there is no ratio: name a Python "
                         "that has it with --peer-python, or leave it out with --peers none")
        self.assertEqual(answer["bars"], [], "none of the bars is for this peer")

    def test_loaded(self):
        loaded = self.bench("--only", "loaded", "--threads", "1")["configs"]["tiny"]["loaded"]
        self.assertEqual(len(loaded["cores"]), 1)
        for name in ("busy", "niced"):
            self.assertAlmostEqual(loaded[name]["ratio"], loaded[name]["tokens_per_s"] / loaded["alone"])
            self.assertGreater(loaded[name]["ratio"], 0)
        self.assertIn("a busy process, nice 10", self.evenkeel("bench", *QUICK, "--only", "loaded", "--threads", "1")[0])

    def test_a_collapsed_model_and_what_denormals_cost(self):
        words = ["bench", "--config", "collapsed", "--rounds", "1", "--pairs", "5", "--threads", "1"]
        answer = json.loads(self.evenkeel(*words, "--json")[0])
        config = answer["configs"]["collapsed"]
        self.assertEqual(sorted(config["collapsed"]), ["fused_bf16", "fused_fp32", "plain_fp32"])
        for name, entry in config["collapsed"].items():
            if entry.get("why") == "this processor has no fast bf16":
                continue
            self.assertIs(entry["answers_checked"], True, entry.get("why"))
            self.assertEqual(entry["pairs"], 5)
            self.assertGreaterEqual(entry["upper95"], entry["median"])
            self.assertLess(entry["entropy_norm"]["collapsed"], 0.2, name)
            self.assertGreater(entry["entropy_norm"]["healthy"], 0.5, name)
        self.assertIn("fused fp32, upper 95 %", [bar["what"] for bar in answer["bars"]])
        self.assertNotIn("tokens_per_s", config)
        self.assertLessEqual({"product_fp32", "product_bf16", "adamw", "libtorch_mm"}, set(config["denormals"]))
        for kernel in config["denormals"].values():
            self.assertGreater(kernel["usual_s"], 0)
            self.assertGreater(kernel["kept"]["ratio"], 0)

    def test_spectra(self):
        spectra = self.bench("--only", "spectra")["configs"]["tiny"]["spectra_overhead"]
        self.assertEqual((spectra["pairs"], spectra["cadence"], spectra["same_losses"]), (5, 50, True))
        self.assertAlmostEqual(spectra["amortised"], 1 + (spectra["median"] - 1) / 50)
        self.assertGreaterEqual(spectra["amortised_upper95"], spectra["amortised"])

    def test_treatments(self):
        answer = self.bench("--only", "treatment", "--treat", "interventions.sigma_reparam=on",
                            "--treat", "interventions.weight_norm=true,interventions.z_loss=0")
        config = answer["configs"]["tiny"]
        self.assertEqual(list(config["treatments"]), ["interventions.sigma_reparam=on",
                                                      "interventions.weight_norm=true,interventions.z_loss=0"])
        for entry in config["treatments"].values():
            self.assertIs(entry["answers_checked"], True, entry.get("why"))
            self.assertEqual(entry["pairs"], 5)
            self.assertGreaterEqual(entry["upper95"], entry["median"])
            self.assertGreater(entry["treated_s"], 0)
        self.assertGreater(config["treatments"]["interventions.sigma_reparam=on"]["parameters"], config["parameters"])
        self.assertNotIn("tokens_per_s", config)

    def test_translation_beside_its_twin(self):
        words = ["bench", "--config", "mt_tiny", "--only", "throughput", "--rounds", "1", "--steps", "2", "--threads", "1"]
        config = json.loads(self.evenkeel(*words, "--json")[0])["configs"]["mt_tiny"]
        self.assertIs(config["answers_checked"], True, config.get("why"))
        self.assertEqual((config["model"]["family"], config["model"]["layers"]), ("seq2seq", 4))
        # Most of the 4096 cells of a batch are words.
        self.assertTrue(3000 < config["tokens_per_step"] <= 4096)
        for name, peer in config["peers"].items():
            if "why" in peer:
                self.assertRegex(peer["why"], "no module torch|could not|not support|cannot execute", name)
                continue
            self.assertEqual(peer["parameters"], config["parameters"])
            same = peer["same_weights"]
            self.assertLessEqual(abs(same["loss"] - same["our_loss"]), same["limit"])
            self.assertGreater(config["ratio"][name], 0)

    def test_a_python_without_torch_is_named(self):
        empty = self.write("torch.py", "raise ImportError\n")
        os.environ["PYTHONPATH"] = os.path.dirname(empty)
        self.addCleanup(os.environ.pop, "PYTHONPATH")
        stdout, _ = self.evenkeel("bench", *QUICK, "--only", "throughput", "--peer-python", "/usr/bin/python3")
        self.assertIn("tiny: no figure for torch: /usr/bin/python3 has no module torch", stdout)

    def test_fp32(self):
        answer = self.bench("--precision", "fp32", "--peers", "none", "--only", "throughput")
        self.assertIs(answer["configs"]["tiny"]["answers_checked"], True)
        self.assertEqual(answer["configs"]["tiny"]["peers"], {})


class Judges(ProgramTest):
    trainer = FAKE

    def bench(self, answers, *words, code=0):
        os.environ["FAKE_CONTESTANT"] = json.dumps(answers)
        self.addCleanup(os.environ.pop, "FAKE_CONTESTANT", None)
        return self.evenkeel("bench", *QUICK, "--only", "throughput", "--peers", "none", *words, code=code)

    def test_wrong_answers_are_given_no_speed(self):
        for wrong in ({"min_cosine": 0.99, "min_cosine_at": "head.weight"}, {"loss": 6.1}, {"max_norm_error": 0.1},
                      {"min_cosine": None, "nonfinite": "min_cosine=nan"}, {"loss": None, "nonfinite": "loss=nan"}):
            stdout, stderr = self.bench({"check": wrong}, "--json", code=4)
            config = json.loads(stdout)["configs"]["tiny"]
            self.assertIs(config["answers_checked"], False)
            self.assertNotIn("tokens_per_s", config)
            self.assertIn("the first step differs from plain fp32", config["why"])
            self.assertIn("wrong numbers", stderr)

    def test_a_peer_that_fails_on_the_way_has_no_figure(self):
        peer = self.write("peer.sh", "read x; echo '{}'; read x; echo '{\"step_s\": []}'; read x\n")
        os.environ["FAKE_CONTESTANT"] = "{}"
        stdout, _ = self.evenkeel("bench", *QUICK, "--only", "throughput", "--peers", "p=sh " + peer, "--json")
        config = json.loads(stdout)["configs"]["tiny"]
        self.assertEqual(config["peers"]["p"]["why"], 'it failed in round 1: its answer holds no list "step_s"')
        self.assertEqual(config["ratio"], {})

    def test_a_peer_that_is_another_model_has_no_figure(self):
        words = ["bench", "--config", "mt_tiny", "--rounds", "1", "--only", "throughput", "--peers", "torch_fp32",
                 "--peer-python", FAKE, "--json"]
        self.addCleanup(os.environ.pop, "FAKE_CONTESTANT", None)
        for losses, ratios in (({"export": {"loss": 9.0}, "loss": {"loss": 9.5}}, []), ({}, ["torch_1.0_fp32"])):
            os.environ["FAKE_CONTESTANT"] = json.dumps(losses)
            config = json.loads(self.evenkeel(*words)[0])["configs"]["mt_tiny"]
            peer = config["peers"]["torch_1.0_fp32"]
            self.assertEqual(list(config["ratio"]), ratios)
            self.assertEqual(peer["same_weights"]["loss"], 9.0 if ratios else 9.5)
            self.assertEqual("not the same model" in peer.get("why", ""), not ratios)

    def test_a_treatment_without_pairs_has_no_figure(self):
        os.environ["FAKE_CONTESTANT"] = "{}"
        self.addCleanup(os.environ.pop, "FAKE_CONTESTANT", None)
        words = ["bench", *QUICK, "--only", "treatment", "--treat", "interventions.qk_norm=per_head"]
        stdout, _ = self.evenkeel(*words, "--json")
        treatment = json.loads(stdout)["configs"]["tiny"]["treatments"]["interventions.qk_norm=per_head"]
        self.assertEqual(treatment["why"], "no treatment")
        self.assertIn("no figure for interventions.qk_norm=per_head: no treatment", self.evenkeel(*words)[0])

    def test_a_model_that_is_not_collapsed_has_no_figure(self):
        os.environ["FAKE_CONTESTANT"] = json.dumps({"collapsed": {"entropy_norm": {"collapsed": 0.9, "healthy": 0.9}}})
        self.addCleanup(os.environ.pop, "FAKE_CONTESTANT", None)
        words = ["bench", *QUICK, "--only", "collapsed", "--precision", "fp32"]
        config = json.loads(self.evenkeel(*words, "--json", code=4)[0])["configs"]["tiny"]
        self.assertIs(config["answers_checked"], False)
        self.assertNotIn("median", config["collapsed"]["fused_fp32"])
        self.assertIn("collapsed attention has a normalised entropy of 0.9 (limit 0.2)", config["why"])

    def test_a_table_under_80_columns(self):
        stdout, _ = self.bench({})
        self.assertIn("128", stdout)
        self.assertLess(max(map(len, stdout.splitlines())), 80)

    def test_wrong_words(self):
        self.assertIn("tiny, S, M, L, mt_tiny, mt_base", self.error_of("bench", "--config", "XL", code=2))
        self.assertIn("NAME=COMMAND", self.error_of("bench", "--peers", "trch", code=2))
        self.assertIn("--only", self.error_of("bench", "--only", "speed", code=2))
        self.assertIn("did you mean", self.error_of("bench", "--treat", "interventions.qk_nrm=off", code=2))
        self.assertIn("add treatment", self.error_of("bench", "--only", "memory", "--treat", "optim.lr=1", code=2))


if __name__ == "__main__":
    unittest.main()
