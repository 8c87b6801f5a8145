"""A peer for `evenkeel bench`: the same training step in plain PyTorch, eager, as nanoGPT writes it.

    gpt_torch.py [--tuned]

Speaks docs/formats/bench.md: one JSON object per line. The first request holds the experiment; the answer names this
program. After that, {"do": "steps", "warm": n, "steps": n} is answered with the seconds each step took. Start-up and
warm-up are never in those times.

Where eager PyTorch has a faster way to much the same model it is taken, so that the comparison is with a strong peer:
learned positions in place of rotary ones, and q, k and v in one product. --tuned goes further than users do: q is scaled in place of the logits, and the
causal mask is added in their type, which spares two passes over [B, H, T, T].
"""

import argparse
import contextlib
import ctypes
import ctypes.util
import json
import math
import platform
import sys
import time


def flush_denormals():
    """As evenkeel does, on every thread: FTZ and DAZ of MXCSR, the last word of x86-64's floating-point environment, are
    inherited by threads, and torch's BLAS starts some when it is loaded."""
    if platform.machine() != "x86_64":
        return
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    environment = (ctypes.c_uint32 * 8)()
    if libm.fegetenv(environment) == 0:
        environment[7] |= 1 << 15 | 1 << 6
        libm.fesetenv(environment)


flush_denormals()
try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:
    torch = None


def make_classes(activation, tuned):
    """The model's classes; inside a function since without torch they have no base."""

    class LayerNorm(nn.Module):
        def __init__(self, width, eps):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(width))
            self.eps = eps

        def forward(self, x):
            return F.layer_norm(x, self.gain.shape, self.gain, None, self.eps)

    class Attention(nn.Module):
        def __init__(self, width, heads, context):
            super().__init__()
            self.heads = heads
            self.qkv = nn.Linear(width, 3 * width, bias=False)
            self.out = nn.Linear(width, width, bias=False)
            hidden = torch.triu(torch.ones(context, context, dtype=torch.bool), diagonal=1)
            self.register_buffer("hidden", hidden)
            self.register_buffer("mask", torch.zeros(context, context).masked_fill(hidden, float("-inf")))

        def forward(self, x):
            batch, time_, width = x.shape
            q, k, v = (part.view(batch, time_, self.heads, -1).transpose(1, 2)
                       for part in self.qkv(x).split(width, dim=2))
            if tuned:
                logits = (q / math.sqrt(q.size(-1))) @ k.transpose(-2, -1)
                logits = logits + self.mask[:time_, :time_].to(logits.dtype)
            else:
                logits = (q @ k.transpose(-2, -1)) / math.sqrt(q.size(-1))
                logits = logits.masked_fill(self.hidden[:time_, :time_], float("-inf"))
            return self.out((F.softmax(logits, dim=-1) @ v).transpose(1, 2).reshape(batch, time_, width))

    class Block(nn.Module):
        def __init__(self, arch):
            super().__init__()
            width = arch["width"]
            self.attn_norm = LayerNorm(width, arch["norm_eps"])
            self.attn = Attention(width, arch["heads"], arch["context"])
            self.mlp_norm = LayerNorm(width, arch["norm_eps"])
            self.fc1 = nn.Linear(width, arch["ffn_width"], bias=False)
            self.fc2 = nn.Linear(arch["ffn_width"], width, bias=False)

        def forward(self, x):
            x = x + self.attn(self.attn_norm(x))
            return x + self.fc2(activation(self.fc1(self.mlp_norm(x))))

    class Gpt(nn.Module):
        def __init__(self, arch, vocab):
            super().__init__()
            self.embed = nn.Embedding(vocab, arch["width"])
            self.positions = nn.Parameter(torch.zeros(arch["context"], arch["width"]))
            self.blocks = nn.ModuleList(Block(arch) for _ in range(arch["depth"]))
            self.norm = LayerNorm(arch["width"], arch["norm_eps"])
            self.head = nn.Linear(arch["width"], vocab, bias=False)
            for parameter in self.parameters():
                if parameter.dim() > 1:
                    nn.init.normal_(parameter, 0, 0.02)

        def forward(self, ids):
            x = self.embed(ids) + self.positions[: ids.shape[1]]
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    return Gpt


class Trainer:
    """Makes training steps on one batch of random tokens."""

    def __init__(self, experiment, tuned):
        arch, optim = experiment["arch"], experiment["optim"]
        torch.set_flush_denormal(True)  # where the above knows no way
        torch.set_num_threads(experiment["train"]["threads"])
        torch.manual_seed(experiment["train"]["seed"])
        self.vocab = experiment["data"]["vocab"]
        self.bf16 = experiment["train"]["precision"] == "bf16"
        self.z_loss = experiment["interventions"]["z_loss"]
        self.clip_norm = optim["clip_norm"]
        activation = {"gelu_erf": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "relu": F.relu}
        self.model = make_classes(activation[arch["activation"]], tuned)(arch, self.vocab)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=optim["lr"], eps=optim["eps"],
                                           betas=(optim["beta1"], optim["beta2"]),
                                           weight_decay=optim["weight_decay"])
        shape = (experiment["train"]["batch"], arch["context"])
        self.inputs = torch.randint(self.vocab, shape)
        self.targets = torch.randint(self.vocab, shape).view(-1)

    def step(self):
        """One step; returns its duration in seconds and the loss before it."""
        begin = time.perf_counter()
        autocast = torch.autocast("cpu", dtype=torch.bfloat16) if self.bf16 else contextlib.nullcontext()
        with autocast:
            logits = self.model(self.inputs)
        logits = logits.float().view(-1, self.vocab)
        loss = cross_entropy = F.cross_entropy(logits, self.targets)
        if self.z_loss:
            loss = loss + self.z_loss * torch.logsumexp(logits, dim=-1).square().mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimiser.step()
        value = cross_entropy.item()
        return time.perf_counter() - begin, value


def answers(requests, tuned):
    trainer = None
    for line in requests:
        request = json.loads(line)
        if "experiment" in request:
            trainer = Trainer(request["experiment"], tuned)
            yield {"name": "torch", "version": torch.__version__, "threads": torch.get_num_threads(),
                   "parameters": sum(p.numel() for p in trainer.model.parameters())}
        elif request["do"] == "steps":
            made = [trainer.step() for _ in range(request["warm"] + request["steps"])]
            yield {"step_s": [seconds for seconds, _ in made[request["warm"]:]], "losses": [loss for _, loss in made]}
        else:
            yield {"error": "unknown request " + request["do"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tuned", action="store_true")
    arguments = parser.parse_args()
    if torch is None:
        print(json.dumps({"error": sys.executable + " has no module torch (Debian: python3-torch)"}), flush=True)
        return
    try:
        for answer in answers(sys.stdin, arguments.tuned):
            print(json.dumps(answer), flush=True)
    except RuntimeError as error:  # such as oneDNN without a bf16 kernel for this processor
        print(json.dumps({"error": " ".join(str(error).split())}), flush=True)


if __name__ == "__main__":
    main()
