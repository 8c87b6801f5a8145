"""The model, its loss, every gradient and the optimiser against a twin written separately in PyTorch.

    torch_twin_test.py MODEL_DUMP

MODEL_DUMP is the program built from model_dump.cpp. The twin shares no code and no operator choice with it: rotary
positions are complex multiplications, attention is masked and softmaxed per head, gradients come from PyTorch's autograd
and updates from torch.optim.AdamW.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import unittest

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("python3-torch is not installed: install it to compare with the PyTorch twin")
    sys.exit(1 if os.environ.get("CI") == "true" else 77)

MODEL_DUMP = ""

# float64: both sides sum in different orders, some thousand roundings of 1e-16 each.
# float32: the same with 6e-8, and an exp good to 3e-7 inside GELU and, fused, inside softmax. Relative to the root mean
# square of each tensor; measured 2e-14 and, on either path, 1e-5. Torch 2 sums in another order: measured 2.1e-5.
TOLERANCE = {"float64": 1e-11, "float32": 2e-5 if torch.__version__.startswith("1.") else 4e-5}


class Dump:
    def __init__(self, folder, dtype):
        with open(os.path.join(folder, "index.json"), encoding="utf-8") as file:
            self.index = json.load(file)
        with open(os.path.join(folder, "data.bin"), "rb") as file:
            self.data = torch.frombuffer(bytearray(file.read()), dtype=torch.float64)
        self.dtype = dtype

    def array(self, name):
        entry = self.index["arrays"][name]
        size = math.prod(entry["shape"])
        return self.data[entry["start"]:entry["start"] + size].reshape(entry["shape"])

    def group(self, prefix):
        return {name[len(prefix):]: self.array(name) for name in self.index["arrays"] if name.startswith(prefix)}


def layer_norm(x, gain, bias, eps):
    mean = x.mean(dim=-1, keepdim=True)
    variance = x.var(dim=-1, unbiased=False, keepdim=True)
    y = gain * (x - mean) / torch.sqrt(variance + eps)
    return y if bias is None else y + bias


class Twin:
    """Decoder-only Transformer as the acceptance text describes it, from a dictionary of parameters."""

    def __init__(self, params, config, dtype):
        self.config = config
        self.params = {name: value.to(dtype).clone().requires_grad_(True) for name, value in params.items()}

    def get(self, name):
        return self.params.get(name)

    def affine(self, x, name):
        return F.linear(x, self.get(name + ".weight"), self.get(name + ".bias"))

    def norm(self, x, name):
        return layer_norm(x, self.get(name + ".gain"), self.get(name + ".bias"), self.config["eps"])

    def qk_norm(self, x, name):
        kind, heads = self.config["qk_norm"], self.config["heads"]
        if kind == "off":
            return x
        gain = self.get(name + ".gain")
        if kind == "whole_dim":
            return layer_norm(x, gain, None, self.config["eps"])
        split = x.unflatten(-1, (heads, -1))
        return layer_norm(split, gain, None, self.config["eps"]).flatten(-2)

    def rotate(self, x):
        time, half = x.shape[-2], x.shape[-1] // 2
        frequency = self.config["rope_base"] ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.arange(time, dtype=torch.float64)[:, None] * frequency
        turn = torch.polar(torch.ones_like(angle), angle).to(torch.complex128 if x.dtype == torch.float64 else torch.complex64)
        turned = torch.complex(x[..., :half].contiguous(), x[..., half:].contiguous()) * turn
        return torch.cat([turned.real, turned.imag], dim=-1)

    def attention(self, x, name):
        heads = self.config["heads"]
        q = self.qk_norm(self.affine(x, name + ".q"), name + ".q_norm")
        k = self.qk_norm(self.affine(x, name + ".k"), name + ".k_norm")
        v = self.affine(x, name + ".v")
        width = x.shape[-1] // heads
        visible = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        outs = []
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            logits = self.rotate(q[..., part]) @ self.rotate(k[..., part]).mT / math.sqrt(width)
            outs.append(logits.masked_fill(~visible, -math.inf).softmax(dim=-1) @ v[..., part])
        return self.affine(torch.cat(outs, dim=-1), name + ".o")

    def activation(self, x):
        kind = self.config["activation"]
        return torch.relu(x) if kind == "relu" else F.gelu(x, approximate="tanh" if kind == "gelu_tanh" else "none")

    def forward(self, tokens):
        h = self.get("embed.weight")[tokens]
        for layer in range(self.config["depth"]):
            block = f"blocks.{layer}"
            h = h + self.attention(self.norm(h, block + ".attn_norm"), block + ".attn")
            hidden = self.activation(self.affine(self.norm(h, block + ".mlp_norm"), block + ".mlp.fc1"))
            h = h + self.affine(hidden, block + ".mlp.fc2")
        return self.affine(self.norm(h, "final_norm"), "head").flatten(0, 1)

    def loss(self, tokens, targets):
        logits = self.forward(tokens)
        log_z = torch.logsumexp(logits, dim=-1)
        ce = F.cross_entropy(logits, targets)
        return logits, ce, self.config["z_loss"] * log_z.square().mean(), log_z.mean()


class TwinTest(unittest.TestCase):
    def dump(self, qk_norm, bias, z_loss, dtype, decay_form="independent", activation="gelu_tanh", ops="plain"):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([MODEL_DUMP, folder, qk_norm, str(bias).lower(), str(z_loss), dtype, decay_form, activation, ops],
                           check=True)
            return Dump(folder, getattr(torch, dtype))

    def assert_close(self, ours, twin, relative, what):
        error = (ours - twin.detach().to(torch.float64)).abs().max().item()
        scale = ours.square().mean().sqrt().item()
        self.assertLessEqual(error, relative * scale, f"{what}: error {error} against size {scale}")

    def test_loss_and_every_gradient(self):
        # Fused: in float32 the kernels, in float64 the compositions that specify them.
        for ops in ("plain", "fused"):
            for dtype in ("float64", "float32"):
                for qk_norm in ("off", "per_head", "per_head_own", "whole_dim"):
                    for bias in (False, True):
                        for z_loss in (0, 1e-2):
                            with self.subTest(ops=ops, dtype=dtype, qk_norm=qk_norm, bias=bias, z_loss=z_loss):
                                self.check_gradients(self.dump(qk_norm, bias, z_loss, dtype, ops=ops), TOLERANCE[dtype])

    def test_other_activations(self):
        for ops in ("plain", "fused"):
            for dtype in ("float64", "float32"):
                for activation in ("gelu_erf", "relu"):
                    with self.subTest(ops=ops, dtype=dtype, activation=activation):
                        self.check_gradients(self.dump("per_head", True, 1e-2, dtype, activation=activation, ops=ops),
                                             TOLERANCE[dtype])

    def check_gradients(self, dump, tolerance):
        twin = Twin(dump.group("param/"), dump.index, dump.dtype)
        logits, ce, z, log_z = twin.loss(dump.array("tokens").long(), dump.array("targets").long().flatten())
        (ce + z).backward()
        first = dump.index["steps"][0]
        self.assert_close(dump.array("logits"), logits, tolerance, "logits")
        self.assertAlmostEqual(first["ce"], ce.item(), delta=tolerance * ce.item())
        self.assertAlmostEqual(first["z"], z.item(), delta=tolerance * z.item())
        self.assertAlmostEqual(first["mean_log_z"], log_z.item(), delta=tolerance * log_z.item())
        gradients = dump.group("grad/")
        self.assertEqual(set(gradients), set(twin.params))
        for name, gradient in gradients.items():
            self.assertGreater(gradient.abs().max().item(), 0, name)
            self.assert_close(gradient, twin.params[name].grad, tolerance, name)
        norm = torch.sqrt(sum(g.square().sum() for g in gradients.values())).item()
        self.assertAlmostEqual(first["norm"], norm, delta=tolerance * norm)

    def test_optimiser_steps(self):
        # float64 only: the first AdamW step is nearly sign(gradient), which turns float32 noise in a zero gradient into a
        # whole step.
        for ops, decay_form in (("plain", "independent"), ("plain", "coupled"), ("fused", "independent")):
            for qk_norm, bias in (("off", False), ("per_head", True)):
                with self.subTest(ops=ops, decay_form=decay_form, qk_norm=qk_norm):
                    self.check_steps(self.dump(qk_norm, bias, 1e-4, "float64", decay_form, ops=ops))

    def check_steps(self, dump):
        config = dump.index
        twin = Twin(dump.group("param/"), config, dump.dtype)
        # torch multiplies decay by the rate; the independent form undoes that by dividing by the peak.
        decay = config["weight_decay"] / (config["lr"] if config["decay_form"] == "independent" else 1)
        spared = [p for name, p in twin.params.items() if name.endswith((".gain", ".bias"))]
        decayed = [p for name, p in twin.params.items() if not name.endswith((".gain", ".bias"))]
        optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": decay}, {"params": spared, "weight_decay": 0}],
                                      betas=tuple(config["betas"]), eps=config["adam_eps"])
        tokens, targets = dump.array("tokens").long(), dump.array("targets").long().flatten()
        for number, step in enumerate(config["steps"], start=1):
            _, ce, z, _ = twin.loss(tokens, targets)
            self.assertAlmostEqual(step["ce"], ce.item(), delta=1e-7, msg=f"step {number}")
            optimiser.zero_grad()
            (ce + z).backward()
            norm = math.sqrt(sum(p.grad.square().sum().item() for p in twin.params.values()))
            self.assertAlmostEqual(step["norm"], norm, delta=1e-6 * norm)
            for p in twin.params.values():
                p.grad *= min(1, config["clip_norm"] / norm)
            for group in optimiser.param_groups:
                group["lr"] = step["lr"]
            optimiser.step()
        for name, value in dump.group("after/").items():
            # Six steps of 0.02 amplify the 1e-16 of the gradients by at most 1 / eps of AdamW = 1e8.
            self.assert_close(value, twin.params[name], 1e-7, name)


if __name__ == "__main__":
    MODEL_DUMP = sys.argv.pop(1)
    torch.set_num_threads(1)
    unittest.main()
