"""What comes from outside at its worst: numbers, lengths, names and files that no run has. Each is refused at once, by one
sentence and exit code 2, or said; nothing is lost, and no control character reaches a terminal."""
import gzip
import json
import os
import struct
import subprocess
import unittest

from program import BIN, EVENKEEL, ProgramTest

MAGIC = 20240520  # of a shard of llm.c with ids of two bytes


class Borders(ProgramTest):
    def sentence(self, *words):
        """The one sentence of a refusal, of a length that is read."""
        sentence = self.error_of(*words, code=2)
        self.assertLess(len(sentence), 1500)
        return sentence

    def check(self, *sets):
        return self.sentence("config", "check", *[word for text in sets for word in ("--set", text)])

    def bytes(self, name, content):
        with open(self.path(name), "wb") as out:
            out.write(content)
        return name


class Extents(Borders):
    def test_every_length_has_an_upper_bound(self):
        for field in ("arch.context", "train.steps", "train.batch", "data.valid_tokens", "data.batch_tokens",
                      "train.keep_checkpoints", "data.pairs.length_max", "interventions.sigma.burn_in"):
            for value in ("4000000000", "9223372036854775807"):
                sentence = self.check("%s=%s" % (field, value))
                self.assertIn("[%s] must be" % field, sentence)
                self.assertIn("<= ", sentence)
        shape = ("arch.width=64", "arch.depth=2", "arch.heads=4")
        self.assertIn("[arch.width]", self.check("arch.width=4000000000", "arch.heads=4", "arch.depth=2"))
        self.assertIn("[arch.depth]", self.check("arch.width=64", "arch.heads=4", "arch.depth=4000000000"))
        self.assertIn("[arch.heads]", self.check("arch.width=64", "arch.heads=4000000000", "arch.depth=1"))
        self.assertIn("[arch.ffn_width]", self.check(*shape, "arch.ffn_width=4000000000"))

    def test_products_are_bounded_too(self):
        self.assertIn("weights", self.check("arch.width=65536", "arch.depth=1000", "arch.heads=64"))
        sentence = self.check("train.batch=16777216", "train.steps=1000000000")
        self.assertIn("training tokens", sentence)
        self.assertIn("[train.batch] = 16777216 (--set)", sentence)
        self.assertIn("activations", self.check("train.batch=16777216", "train.steps=1", "arch.context=1000000"))
        self.assertIn("cells, more than 100000", self.check("sweep.optim.lr=log(1e-4, 1, 1000)", "sweep.train.seed=%s" % list(range(101))))
        self.assertIn("symbols", self.check("arch.family=seq2seq", "data.pairs.count=16777216", "data.pairs.length_max=100000"))

    def test_lengths_of_training_that_overflow(self):
        for value in ("1e30step", "1e300%", "1e16tok", "1e14Gtok", "9223372036854775808"):
            self.assertIn("[optim.warmup]", self.check("optim.warmup=" + value))
        self.assertIn("longer than", self.check("optim.warmup=1e15%"))
        self.assertIn("[change.until]", self.check("change.until=1e400step"))

    def test_series_without_end(self):
        for text in ("series(1, inf)", "series(1e-3, 1e999)", "log(1, inf, 3)", "log(1e-308, 1e308, 4)"):
            self.assertIn("[sweep]", self.check("sweep.optim.lr=" + text))

    def test_whole_numbers_do_not_wrap(self):
        self.write("s.toml", "[train]\nseed = 9223372036854775807\n")
        self.evenkeel("config", "check", "s.toml")
        self.assertIn("[train.seed]", self.check("train.seed=1e19"))

    def test_a_language_that_is_never_finished(self):
        language = ["data.synthetic.%s" % text for text in ("zipf=4", "successors=64", "vocab=64")]
        self.assertIn("[data.synthetic.successors]", self.check(*language))

    def test_languages_are_what_they_were(self):
        sets = ("data.synthetic.zipf=2", "data.synthetic.successors=16", "data.synthetic.vocab=40", "data.synthetic.bigram=1",
                "data.synthetic.copy=0", "arch.context=32", "data.valid_tokens=512")
        seen = json.loads(self.evenkeel("data", "inspect", "--json", *[w for s in sets for w in ("--set", s)])[0])
        self.assertEqual(seen["first"]["ids"], [10, 27, 0, 2, 0, 2, 0, 0, 0, 2, 0, 0, 2, 0, 0, 8, 1, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 2,
                                                3, 0, 0, 2])
        self.assertEqual((seen["unigram_entropy"], seen["floor"]), (1.7111884003084001, 1.3158813416887865))


class Json(Borders):
    LINE = '{"text": "%s", "n": 1}\n' % ("words and words " * 40)

    def test_numbers_that_json_cannot_hold(self):
        for number in ("1e999", "9" * 400):
            self.write("a.jsonl", self.LINE + self.LINE.replace(": 1}", ": %s}" % number))
            sentence = self.sentence("data", "inspect", "a.jsonl")
            self.assertIn("a.jsonl:2, byte", sentence)
            self.assertIn("too large", sentence)
            self.assertIn("too large", self.sentence("data", "tokenize", "a.jsonl", "--out", "t"))
            header = ('{"w": {"dtype": "F32", "shape": [%s], "data_offsets": [0, 4]}}' % number).encode()
            self.bytes("w.safetensors", struct.pack("<Q", len(header)) + header + b"\0" * 4)
            self.assertIn("too large", self.sentence("import", "w.safetensors", "--out", "o"))
            for name in ("tokens.json", "pairs.json"):
                os.makedirs(self.path(number[:5] + name))
                self.write(number[:5] + name + "/" + name, '{"vocab": %s}' % number)
                self.assertIn("too large", self.sentence("data", "inspect", number[:5] + name))

    def test_nesting(self):
        for deep in ("[" * 20000, '{"a":' * 20000, "[" * 20000 + "]" * 20000):
            self.write("a.jsonl", self.LINE + '{"text": %s\n' % deep)
            self.assertIn("nests", self.sentence("data", "inspect", "a.jsonl"))
        subprocess.run([os.path.join(BIN, "write_fixture"), self.path("s"), "two_sizes"], check=True)
        sweep = self.read_json("s", "sweep.json")
        study = json.dumps(sweep["study"])
        for key, value in (("study", study), ("axes", json.dumps(sweep["axes"]))):
            text = json.dumps(sweep).replace(value, '{"a":' * 200000 + "1" + "}" * 200000)
            self.write("s/sweep.json", text)
            for command in (["analyze", "s"], ["report", "s", "--out", "r.html"]):
                self.assertIn("nests", self.sentence(*command), key)
        cell = self.path("s", "cells", sweep["cells"][0]["hash"])
        with open(os.path.join(cell, "manifest.json")) as source:
            manifest = json.load(source)
        with open(os.path.join(cell, "manifest.json"), "w") as out:
            out.write(json.dumps(manifest).replace(json.dumps(manifest["config"]), '{"a":' * 20000 + "1" + "}" * 20000))
        self.assertIn("nests", self.sentence("show", cell))
        self.assertIn("nests", self.evenkeel("ls", "s")[0])

    def test_counts_of_token_folders(self):
        os.makedirs(self.path("t"))
        part = {"tokens": 1, "documents": 1, "hash": "0", "text_bytes": 1}
        good = {"format": "evenkeel tokens 1", "bytes_per_token": 4, "vocab": 2, "end_id": 1, "model_hash": "", "train": part,
                "valid": part, "pieces": [None, "a"]}
        self.write("t/train.bin", "")
        self.write("t/valid.bin", "")
        for key, value in (("vocab", 1e300), ("vocab", (1 << 64) - 1), ("vocab", -1), ("bytes_per_token", (1 << 32) + 2),
                           ("end_id", 1.5)):
            self.write("t/tokens.json", json.dumps(dict(good, **{key: value})))
            self.assertIn(key, self.sentence("data", "inspect", "t"))
        # Times four it is 0, the size of the file.
        self.write("t/tokens.json", json.dumps(dict(good, train=dict(part, tokens=1 << 62))))
        self.assertIn("tokens must be a count", self.sentence("data", "inspect", "t"))


class Toml(Borders):
    def test_keys_of_many_parts(self):
        key = ".".join("a" * 100000)
        for text in (key + " = 1\n", "[" + key + "]\n", "x = {" + key + " = 1}\n", '"b".' + key + " = 1\n"):
            self.write("s.toml", "# one. two. three\n" + text)
            sentence = self.sentence("config", "check", "s.toml")
            self.assertIn("s.toml:2", sentence)
            self.assertIn("parts", sentence)
        dots = "." * 100
        self.write("s.toml", '[study]\ntitle = "%s"\nquestion = """%s\n%s\\""""\ncost = \'\'\'%s\'\'\'\n# %s\n' % (dots, dots, dots, dots, dots))
        self.evenkeel("config", "check", "s.toml")
        self.assertIn("../" * 20 + "none", self.check("data.path=" + "../" * 20 + "none"))

    def test_long_keys_and_values_are_shortened(self):
        self.write("s.toml", "b" * 10000 + " = 1\n")
        self.assertIn("10000 bytes", self.sentence("config", "check", "s.toml"))
        self.assertIn("[optim.lr]", self.check("optim.lr=" + "x" * 20000))
        self.assertIn("[sweep]", self.check("sweep.optim.lr=" + "x" * 20000))


class Names(Borders):
    def setUp(self):
        super().setUp()
        subprocess.run([os.path.join(BIN, "write_fixture"), self.path("s"), "two_sizes"], check=True)

    def change(self, **fields):
        sweep = self.read_json("s", "sweep.json")
        sweep["cells"][0].update(fields)
        self.write("s/sweep.json", json.dumps(sweep))

    def test_a_cell_outside_the_folder(self):
        os.rename(self.path("s", "cells", self.read_json("s", "sweep.json")["cells"][0]["hash"]), self.path("elsewhere"))
        for name in ("../../elsewhere", self.path("elsewhere"), "", "."):
            self.change(hash=name)
            self.assertIn("16 hexadecimal digits", self.sentence("analyze", "s"))

    def test_what_contradicts_the_manifest_is_said(self):
        before = json.loads(self.evenkeel("analyze", "s", "--json")[0])
        for field, value in (("lr", 77.5), ("seed", 99), ("size", "d999"), ("arm", "qk_norm=on,other=1")):
            kept = self.read_json("s", "sweep.json")
            self.change(**{field: value})
            self.assertEqual(json.loads(self.evenkeel("analyze", "s", "--json")[0]), before, field)
            note = [line for line in self.evenkeel("analyze", "s")[0].splitlines() if "sweep.json says" in line]
            self.assertEqual(len(note), 1)
            self.assertIn("%s %s" % (field, value), note[0])
            self.write("s/sweep.json", json.dumps(kept))


class Terminals(Borders):
    BAD = "\x1b[2J\x07\x9b"

    def test_control_characters_are_written_out(self):
        # ProgramTest.evenkeel looks for them in all output.
        arm = '"a%sb"' % self.BAD
        self.write("log.csv", "arm,lr,seed,loss,l0\n" + "".join(
            "%s,%s,%d,%s,5\n" % (arm, lr, seed, loss) for lr, loss in ((0.1, 2), (1, 4)) for seed in (1, 2)))
        self.evenkeel("import", "log.csv", "--map", "arm=arm,lr=lr,seed=seed,loss=loss,l0=l0", "--out", "o")
        for words in (["ls", "o"], ["analyze", "o"], ["show", "o/line000002"]):
            stdout, _ = self.evenkeel(*words)
            for control in "\x1b\x07\x9b":
                self.assertNotIn(control, stdout)
        self.assertIn(r"a\x1b[2J\x07\u009bb", self.evenkeel("ls", "o")[0])
        self.write("log.csv", "lr,loss\n%s,1\n" % arm)
        self.assertIn(r"\x1b", self.sentence("import", "log.csv", "--map", "lr=lr,loss=loss", "--out", "p"))
        self.write("s.toml", '"%s" = 1\n' % "\\u001b[2J")
        self.assertIn(r"\x1b", self.sentence("config", "check", "s.toml"))
        self.assertIn(r"\x1b", self.sentence("config", "check", "a%s.toml" % self.BAD))
        self.assertIn(r"\x1b", self.sentence("show", "a%sb" % self.BAD))


class Files(Borders):
    def test_pipes_and_devices_are_refused_at_once(self):
        os.mkfifo(self.path("pipe"))
        table = ("--map", "loss=loss", "--out", "o")
        for file in ("pipe", "/dev/zero"):
            for words in (["config", "check", file], ["import", file, *table], ["data", "inspect", file],
                          ["data", "tokenize", file, "--out", "t"], ["score", file, file]):
                self.assertIn(file, self.sentence(*words))
        os.makedirs(self.path("run"))
        os.mkfifo(self.path("run/manifest.json"))
        self.assertIn("run", self.sentence("show", "run"))
        self.assertIn("a pipe or a device", self.sentence("import", "pipe", *table))

    def test_a_gzip_file_that_fills_the_memory(self):
        with gzip.open(self.path("bomb.gz"), "wb", compresslevel=9) as out:
            for _ in range(80):
                out.write(b"a" * (1 << 20))
        sentence = self.sentence("score", "bomb.gz", "bomb.gz")
        self.assertIn("unpacks to more than", sentence)

    def test_a_damaged_magic_number_is_not_text(self):
        ids = [i % 50 for i in range(3000)]
        shard = struct.pack("<256i", MAGIC, 1, len(ids), *[0] * 253) + struct.pack("<%dH" % len(ids), *ids)
        self.bytes("a.bin", shard)
        self.assertEqual(json.loads(self.evenkeel("data", "inspect", "a.bin", "--json")[0])["kind"], "llmc")
        for bit in (0, 5, 31):
            self.bytes("a.bin", struct.pack("<I", MAGIC ^ 1 << bit) + shard[4:])
            self.assertIn("magic number", self.sentence("data", "inspect", "a.bin"))
        self.evenkeel("data", "inspect", "a.bin", "--set", "data.kind=nanogpt")
        self.bytes("b.bin", struct.pack("<3000H", *ids))
        self.assertEqual(json.loads(self.evenkeel("data", "inspect", "b.bin", "--json")[0])["kind"], "nanogpt")


class Tables(Borders):
    WORDS = ("--map", "run=run,step=step,loss=loss,lr=lr", "--out")

    def test_a_table_that_is_cut_off_is_said(self):
        whole = "run,step,lr,loss\na,1,0.1,4.5\na,2,0.1,12.345\n"
        self.write("t.csv", whole)
        self.assertEqual(self.evenkeel("import", "t.csv", *self.WORDS, "whole")[1], "")
        self.write("t.csv", whole[:-4])
        self.assertIn("line 3 of t.csv has no line end", self.evenkeel("import", "t.csv", *self.WORDS, "cut")[1])
        self.assertEqual(json.loads(self.evenkeel("import", "t.csv", *self.WORDS, "j", "--json")[0])["open_line"], 3)

    def test_nul_and_absurd_steps(self):
        self.write("t.csv", 'run,step,lr,loss\n"a\0b",1,0.1,4.5\n')
        self.assertIn("NUL", self.sentence("import", "t.csv", *self.WORDS, "o"))
        self.write("t.csv", "run,step,lr,loss\na,99999999999999,0.1,4.5\n")
        self.assertIn("[step]", self.sentence("import", "t.csv", *self.WORDS, "o"))

    def test_runs_without_learning_rate_are_named_and_left_out(self):
        rows = [(lr, seed, loss) for lr, loss in ((0.01, 3), (0.1, 2), (1, 4)) for seed in range(8)]
        self.write("with.csv", "lr,seed,loss,l0\n" + "".join("%s,%s,%s,5\n" % row for row in rows))
        self.write("without.csv", "seed,loss\n" + "".join("%d,2\n" % seed for seed in range(8)))
        self.evenkeel("import", "with.csv", "--map", "lr=lr,seed=seed,loss=loss,l0=l0", "--out", "o/with")
        self.evenkeel("import", "without.csv", "--map", "seed=seed,loss=loss", "--out", "o/without")
        stdout, _ = self.evenkeel("analyze", "o")
        self.assertIn("8 runs have no learning rate and are left out: line000002", stdout.replace("\n", " "))
        alone = json.loads(self.evenkeel("analyze", "o/with", "--json")[0])
        self.assertEqual(json.loads(self.evenkeel("analyze", "o", "--json")[0]), alone)
        self.assertIn("no learning rate", self.sentence("analyze", "o/without"))

    def test_a_vocabulary_too_small_for_its_letters(self):
        self.write("t.txt", "\n".join(chr(0x4e00 + i) * 3 for i in range(120)) + "\n")
        self.assertRegex(self.sentence("data", "tokenize", "t.txt", "--out", "t", "--vocab", "300"), "give at least --vocab [0-9]{3}")


if __name__ == "__main__":
    unittest.main()
