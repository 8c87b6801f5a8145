"""Checks that every #include obeys tools/layers.txt: which folder may see which, and who may see LibTorch.

usage: check_layers.py [ROOT]; prints each offence as file:line and exits 1 when there is any.
"""

import pathlib
import re
import sys

TORCH = re.compile(r"(ATen|torch|c10|caffe2)/")
INCLUDE = re.compile(r'\s*#\s*include\s+[<"]([^>"]+)[>"]')
PLAIN_PROGRAM_MAY_NOT = {"ops", "nn", "interventions", "models", "optim", "train", "probes"}


def read_layers(file):
    layers = {}
    for line in file.read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        folder, rest = (part.strip() for part in line.split("->"))
        torch = rest.endswith("+ ATen")
        layers[folder] = (set(rest.removesuffix("+ ATen").split()) | {folder}, torch)
    return layers


def offences(root):
    layers = read_layers(root / "tools/layers.txt")
    for file in sorted([*root.glob("evenkeel/**/*.h"), *root.glob("evenkeel/**/*.cpp"), *root.glob("cli/**/*.h"),
                        *root.glob("cli/**/*.cpp")]):
        top, folder = file.relative_to(root).parts[:2]
        if top == "evenkeel" and folder not in layers:
            yield f"{file.relative_to(root)}: folder {folder} is not in tools/layers.txt"
            continue
        if top == "evenkeel":
            allowed, torch = layers[folder]
        elif folder == "evenkeel":
            allowed, torch = set(layers) - PLAIN_PROGRAM_MAY_NOT, False
        else:
            allowed, torch = set(layers) - {"tokenize"}, True
        for number, line in enumerate(file.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            header = match.group(1)
            where = f"{file.relative_to(root)}:{number}"
            if TORCH.match(header) and not torch:
                yield f"{where}: {folder} may not include LibTorch ({header})"
            if header == "torch/torch.h":
                yield f"{where}: torch/torch.h is slow to compile; include narrow ATen headers"
            if header.startswith("evenkeel/"):
                parts = header.split("/")
                other = parts[1]
                if other not in allowed:
                    yield f"{where}: {folder} may not include {other} ({header})"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
    found = list(offences(root))
    print("\n".join(found) if found else "layers hold")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
