"""A PyTorch model of one's own, watched by evenkeel: entropy and largest logit of every head, and the loss, at two learning rates.

    python3 python/example_pytorch.py runs/mine && evenkeel report runs/mine
"""
import math
import sys

import torch

import evenkeel

VOCAB, WIDTH, HEADS, LENGTH = 32, 32, 4, 32


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.out = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        hidden = torch.ones(LENGTH, LENGTH, dtype=torch.bool, device=x.device).triu(1)
        self.logits = (q @ k.mT / math.sqrt(WIDTH / HEADS)).masked_fill(hidden, -math.inf)  # what the hook below reads
        return self.out((self.logits.softmax(-1) @ v).transpose(1, 2).flatten(2))


def entropies(logits):
    """Of every head: mean entropy of its rows in nats, mean of H / ln n over rows with two visible keys and more, largest logit."""
    p = logits.detach().softmax(-1)
    rows = -(p * p.clamp_min(1e-30).log()).sum(-1)[..., 1:]
    n = torch.arange(2, LENGTH + 1, device=p.device).log()
    return rows.mean((0, 2)).tolist(), (rows / n).mean((0, 2)).tolist(), logits.detach().amax((0, 2, 3)).tolist()


def train(folder, lr, seed):
    torch.manual_seed(seed)
    layers = torch.nn.ModuleList(Attention() for _ in range(2))
    model = torch.nn.ModuleDict({"embed": torch.nn.Embedding(VOCAB, WIDTH), "layers": layers, "head": torch.nn.Linear(WIDTH, VOCAB)})
    optimiser = torch.optim.AdamW(model.parameters(), lr)
    with evenkeel.Writer(folder, arm="mine", lr=lr, seed=seed, size=f"d{WIDTH}", params=sum(p.numel() for p in layers.parameters())) as run:
        for step in range(1, 61):
            tokens = torch.randint(VOCAB, (8, 1)).add(torch.arange(LENGTH + 1)).remainder(VOCAB)
            x = model["embed"](tokens[:, :-1])
            for layer in layers:
                x = x + layer(x)
            loss = torch.nn.functional.cross_entropy(model["head"](x).flatten(0, 1), tokens[:, 1:].flatten())
            optimiser.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            run.log(step, {"loss/train/ce": loss.item(), "grad/all/norm": norm.item()})
            if step % 10 == 0:
                for i, layer in enumerate(layers):
                    names = (f"attn/layer{i:02d}/{what}" for what in ("entropy", "entropy_norm", "logit_max"))
                    run.heads(step, dict(zip(names, entropies(layer.logits))))


if __name__ == "__main__":
    for lr in (0.01, 0.1):
        for seed in (1, 2):
            train(f"{sys.argv[1]}/lr{lr}-seed{seed}", lr, seed)
