"""A peer for `evenkeel bench`: a step of training a translation model in plain PyTorch, eager.

    seq2seq_torch.py

Speaks docs/formats/bench.md: one JSON object per line. The first request holds the experiment and the batches; the answer
names this program. After that, {"do": "steps", "warm": n, "steps": n} is answered with the seconds each step took, and
{"do": "loss", "weights": FILE} with the loss of weights that evenkeel wrote, which shows that both are the same model.
Start-up and warm-up are never in those times.

The encoder-decoder of Vaswani et al. 2017 with post-LN, ReLU, sinusoidal positions and one table for sources, targets and
output. q, k and v are one product where they read the same, as are k and v of the attention to the source.
"""

import contextlib
import ctypes
import ctypes.util
import json
import math
import platform
import struct
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

PAD, NO_TARGET = 1, -1


def make_model(arch, vocab):
    """The model; its classes are inside since without torch they have no base."""
    width, heads, dropout = arch["width"], arch["heads"], arch["dropout"]

    class Attention(nn.Module):
        """To itself, or to a memory."""

        def __init__(self, to_memory):
            super().__init__()
            self.to_memory = to_memory
            if to_memory:
                self.q = nn.Linear(width, width)
                self.kv = nn.Linear(width, 2 * width)
            else:
                self.qkv = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)

        def forward(self, x, memory, hidden):
            if self.to_memory:
                parts = [self.q(x), *self.kv(memory).chunk(2, dim=-1)]
            else:
                parts = self.qkv(x).chunk(3, dim=-1)
            q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
            logits = (q @ k.transpose(-2, -1)) / math.sqrt(q.size(-1))
            weights = F.softmax(logits.masked_fill(hidden, float("-inf")), dim=-1)
            return self.out((weights @ v).transpose(1, 2).flatten(2))

    class Mlp(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(width, arch["ffn_width"])
            self.fc2 = nn.Linear(arch["ffn_width"], width)

        def forward(self, x):
            return self.fc2(F.relu(self.fc1(x)))

    class AddNorm(nn.Module):
        """norm(x + dropout(f)), post-LN."""

        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(width))
            self.bias = nn.Parameter(torch.zeros(width))

        def forward(self, x, f):
            x = x + F.dropout(f, dropout, self.training)
            return F.layer_norm(x, (width,), self.gain, self.bias, arch["norm_eps"])

    class Layer(nn.Module):
        def __init__(self, is_decoder):
            super().__init__()
            self.attn, self.attn_norm = Attention(to_memory=False), AddNorm()
            if is_decoder:
                self.cross, self.cross_norm = Attention(to_memory=True), AddNorm()
            self.mlp, self.mlp_norm = Mlp(), AddNorm()

        def forward(self, x, hidden, memory=None, memory_hidden=None):
            x = self.attn_norm(x, self.attn(x, None, hidden))
            if memory is not None:
                x = self.cross_norm(x, self.cross(x, memory, memory_hidden))
            return self.mlp_norm(x, self.mlp(x))

    class Seq2Seq(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(vocab, width)
            self.register_buffer("positions", sinusoids(arch["context"], width))
            future = torch.ones(arch["context"], arch["context"], dtype=torch.bool).triu(1)
            self.register_buffer("future", future)
            self.encoder = nn.ModuleList(Layer(is_decoder=False) for _ in range(arch["depth"]))
            self.decoder = nn.ModuleList(Layer(is_decoder=True) for _ in range(arch["decoder_depth"]))
            nn.init.normal_(self.embed.weight, 0, width**-0.5)

        def embedded(self, ids):
            x = self.embed(ids) * math.sqrt(width) + self.positions[: ids.shape[1]]
            return F.dropout(x, dropout, self.training)

        def forward(self, sources, inputs):
            hidden = (sources == PAD)[:, None, None]
            x = self.embedded(sources)
            for layer in self.encoder:
                x = layer(x, hidden)
            y, future = self.embedded(inputs), self.future[: inputs.shape[1], : inputs.shape[1]]
            for layer in self.decoder:
                y = layer(y, future, x, hidden)
            return F.linear(y, self.embed.weight)

    return Seq2Seq()


def sinusoids(time_, width):
    """fairseq's: the first position is PAD + 1; sines of all frequencies, then cosines."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float64) * (-math.log(10000) / (half - 1)))
    angles = torch.arange(PAD + 1, PAD + 1 + time_)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


def read_weights(path):
    """Name -> tensor of a safetensors file: length of the header, header, bytes."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    tensors = {}
    for name, about in header.items():
        begin, end = about["data_offsets"]
        tensors[name] = torch.frombuffer(data, dtype=torch.float32, offset=begin, count=(end - begin) // 4).view(about["shape"])
    return tensors


class Trainer:
    """Makes training steps on the batches in turn, two on each."""

    def __init__(self, experiment, batches):
        arch, optim = experiment["arch"], experiment["optim"]
        if arch["residual"] != "post_ln":
            raise RuntimeError("this peer has post_ln only")
        torch.set_flush_denormal(True)  # where the above knows no way
        torch.set_num_threads(experiment["train"]["threads"])
        torch.manual_seed(experiment["train"]["seed"])
        self.bf16 = experiment["train"]["precision"] == "bf16"
        self.label_smoothing = experiment["train"]["label_smoothing"]
        self.clip_norm = optim["clip_norm"]
        self.model = make_model(arch, experiment["data"]["vocab"])
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=optim["lr"], eps=optim["eps"],
                                           betas=(optim["beta1"], optim["beta2"]),
                                           weight_decay=optim["weight_decay"])
        self.batches = [(torch.tensor(batch["sources"]).view(batch["rows"], -1),
                         torch.tensor(batch["inputs"]).view(batch["rows"], -1),
                         torch.tensor(batch["targets"])) for batch in batches]
        self.steps = 0

    def loss(self, batch):
        sources, inputs, targets = batch
        autocast = torch.autocast("cpu", dtype=torch.bfloat16) if self.bf16 else contextlib.nullcontext()
        with autocast:
            logits = self.model(sources, inputs)
        return F.cross_entropy(logits.float().flatten(0, 1), targets, ignore_index=NO_TARGET,
                               label_smoothing=self.label_smoothing)

    def step(self):
        """One step; returns its duration in seconds and the loss before it."""
        begin = time.perf_counter()
        loss = self.loss(self.batches[self.steps // 2 % len(self.batches)])
        self.steps += 1
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimiser.step()
        value = loss.item()
        return time.perf_counter() - begin, value

    def loss_of(self, weights):
        """Of evenkeel's weights on the first batch, without dropout."""
        together = {"qkv": ("q", "k", "v"), "kv": ("k", "v"), "out": ("o",)}
        self.model.eval()
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                path, _, last = name.rpartition(".")
                above, _, layer = path.rpartition(".")
                theirs = [f"{above}.{part}.{last}" for part in together.get(layer, (layer,))] if above else [name]
                theirs = [name.replace("coder.", "coder.layers.", 1) for name in theirs]
                parameter.copy_(torch.cat([weights[name] for name in theirs]))
            loss = self.loss(self.batches[0]).item()
        self.model.train()
        return loss


def answers(requests):
    trainer = None
    for line in requests:
        request = json.loads(line)
        if "experiment" in request:
            trainer = Trainer(request["experiment"], request["batches"])
            yield {"name": "torch", "version": torch.__version__, "threads": torch.get_num_threads(),
                   "parameters": sum(p.numel() for p in trainer.model.parameters())}
        elif request["do"] == "steps":
            made = [trainer.step() for _ in range(request["warm"] + request["steps"])]
            yield {"step_s": [seconds for seconds, _ in made[request["warm"]:]], "losses": [loss for _, loss in made]}
        elif request["do"] == "loss":
            yield {"loss": trainer.loss_of(read_weights(request["weights"]))}
        else:
            yield {"error": "unknown request " + request["do"]}


def main():
    if torch is None:
        print(json.dumps({"error": sys.executable + " has no module torch (Debian: python3-torch)"}), flush=True)
        return
    if len(sys.argv) > 1:
        print(json.dumps({"error": "this peer has no form " + " ".join(sys.argv[1:])}), flush=True)
        return
    try:
        for answer in answers(sys.stdin):
            print(json.dumps(answer), flush=True)
    except RuntimeError as error:  # such as oneDNN without a bf16 kernel for this processor
        print(json.dumps({"error": " ".join(str(error).split())}), flush=True)


if __name__ == "__main__":
    main()
