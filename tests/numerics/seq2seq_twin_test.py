"""The encoder-decoder, its loss and every gradient against a twin made of PyTorch's own layers.

    seq2seq_twin_test.py SEQ2SEQ_DUMP

SEQ2SEQ_DUMP is the program built from seq2seq_dump.cpp. The twin takes its parameters into torch.nn.TransformerEncoderLayer
and TransformerDecoderLayer, which know pre-LN and post-LN, masks, fused q, k, v and biases; embedding, positions, shared
output and label smoothing are written out here.
"""

import math
import os
import subprocess
import sys
import tempfile
import unittest

from torch_twin_test import TOLERANCE, Dump

import torch
import torch.nn.functional as F

SEQ2SEQ_DUMP = ""
PAD, NO_TARGET = 1, -1


def sinusoids(time, width):
    """Position p (the first is PAD + 1): sines of all frequencies, then cosines."""
    table = torch.zeros(time, width, dtype=torch.float64)
    half = width // 2
    for t in range(time):
        for k in range(half):
            angle = (PAD + 1 + t) / 10000 ** (k / (half - 1))
            table[t, k], table[t, half + k] = math.sin(angle), math.cos(angle)
    return table


class Twin:
    def __init__(self, dump):
        self.config, self.dtype = dump.index, dump.dtype
        self.params = {name: value.to(dump.dtype).clone().requires_grad_(True)
                       for name, value in dump.group("param/").items()}
        pre = self.config["residual"] == "pre_ln"
        width, heads = self.config["width"], self.config["heads"]
        options = dict(d_model=width, nhead=heads, dim_feedforward=4 * width, dropout=0, activation="relu",
                       layer_norm_eps=self.config["eps"], batch_first=True, norm_first=pre, dtype=self.dtype)
        self.encoder = [self.layer(torch.nn.TransformerEncoderLayer(**options), f"encoder.layers.{i}", ["attn", "mlp"])
                        for i in range(self.config["encoder_depth"])]
        self.decoder = [self.layer(torch.nn.TransformerDecoderLayer(**options), f"decoder.layers.{i}",
                                   ["attn", "cross", "mlp"]) for i in range(self.config["decoder_depth"])]

    def layer(self, module, path, parts):
        """The module and, per parameter of it, the tensor of ours that takes its place (differentiably)."""
        get = lambda name: self.params[f"{path}.{name}"]
        ours = {"linear1.weight": get("mlp.fc1.weight"), "linear1.bias": get("mlp.fc1.bias"),
                "linear2.weight": get("mlp.fc2.weight"), "linear2.bias": get("mlp.fc2.bias")}
        for number, part in enumerate(parts, start=1):
            ours[f"norm{number}.weight"] = get(part + "_norm.gain")
            ours[f"norm{number}.bias"] = get(part + "_norm.bias")
        for part, theirs in (("attn", "self_attn"), ("cross", "multihead_attn")):
            if part not in parts:
                continue
            for kind in ("weight", "bias"):
                ours[f"{theirs}.in_proj_{kind}"] = torch.cat([get(f"{part}.{m}.{kind}") for m in "qkv"])
                ours[f"{theirs}.out_proj.{kind}"] = get(f"{part}.o.{kind}")
        assert set(ours) == {name for name, _ in module.named_parameters()}
        return module, ours

    def run(self, layer, *arguments, **named):
        # Called with our tensors in place, so that gradients reach them.
        return torch.nn.utils.stateless.functional_call(layer[0], layer[1], arguments, named)

    def final(self, x, stack):
        name = stack + ".final_norm"
        if name + ".gain" not in self.params:
            return x
        return F.layer_norm(x, x.shape[-1:], self.params[name + ".gain"], self.params[name + ".bias"], self.config["eps"])

    def embed(self, ids):
        width = self.config["width"]
        return self.params["embed.weight"][ids] * math.sqrt(width) + sinusoids(ids.shape[1], width).to(self.dtype)

    def forward(self, sources, source_lengths, inputs):
        hidden = torch.arange(sources.shape[1])[None] >= source_lengths[:, None]
        x = self.embed(sources)
        for layer in self.encoder:
            x = self.run(layer, x, src_key_padding_mask=hidden)
        memory = self.final(x, "encoder")
        y, time = self.embed(inputs), inputs.shape[1]
        future = torch.ones(time, time, dtype=torch.bool).triu(1)
        for layer in self.decoder:
            y = self.run(layer, y, memory, tgt_mask=future, memory_key_padding_mask=hidden)
        return self.final(y, "decoder") @ self.params["embed.weight"].T


class Seq2SeqTwinTest(unittest.TestCase):
    def assert_close(self, ours, twin, relative, what):
        error = (ours - twin.detach().to(torch.float64)).abs().max().item()
        scale = ours.square().mean().sqrt().item()
        self.assertLessEqual(error, relative * scale, f"{what}: error {error} against size {scale}")

    def test_logits_loss_and_every_gradient(self):
        # Fused: in float32 the kernels, in float64 the compositions that specify them.
        for ops in ("plain", "fused"):
            for dtype in ("float64", "float32"):
                for residual in ("post_ln", "pre_ln"):
                    for smoothing in (0, 0.1):
                        with self.subTest(ops=ops, dtype=dtype, residual=residual, smoothing=smoothing):
                            with tempfile.TemporaryDirectory() as folder:
                                subprocess.run([SEQ2SEQ_DUMP, folder, residual, str(smoothing), dtype, ops], check=True)
                                self.check(Dump(folder, getattr(torch, dtype)), TOLERANCE[dtype])

    def check(self, dump, tolerance):
        twin = Twin(dump)
        sources, inputs = dump.array("sources").long(), dump.array("inputs").long()
        targets = dump.array("targets").long()
        logits = twin.forward(sources, dump.array("source_lengths").long(), inputs).flatten(0, 1)
        ce = F.cross_entropy(logits, targets, ignore_index=NO_TARGET, label_smoothing=dump.index["smoothing"])
        ce.backward()
        counted = targets != NO_TARGET
        self.assert_close(dump.array("logits")[counted], logits[counted], tolerance, "logits")
        self.assertAlmostEqual(dump.index["ce"], ce.item(), delta=tolerance * ce.item())
        gradients = dump.group("grad/")
        self.assertEqual(set(gradients), set(twin.params))
        # Twice the tolerance of the decoder alone: two stacks.
        whole = math.sqrt(sum(g.square().sum().item() for g in gradients.values()) / sum(g.numel() for g in gradients.values()))
        for name, gradient in gradients.items():
            if name.endswith(".k.bias"):  # softmax does not see it: zero but for rounding
                self.assertLess(gradient.abs().max().item(), tolerance * whole, name)
                continue
            self.assert_close(gradient, twin.params[name].grad, 2 * tolerance, name)


if __name__ == "__main__":
    SEQ2SEQ_DUMP = sys.argv.pop(1)
    torch.set_num_threads(1)
    unittest.main()
