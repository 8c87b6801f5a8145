"""Reads a safetensors file by hand, with nothing but the standard library, and prints what it holds as JSON.

An independent reader: it shares no code with the one under test.
"""

import json
import struct
import sys

FORMATS = {"F32": "f", "F64": "d", "I64": "q", "BF16": "H"}


def main():
    with open(sys.argv[1], "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + length])
    data = content[8 + length:]
    out = {}
    for name, spec in header.items():
        if name == "__metadata__":
            continue
        begin, end = spec["data_offsets"]
        count = (end - begin) // struct.calcsize("<" + FORMATS[spec["dtype"]])
        values = struct.unpack(f"<{count}{FORMATS[spec['dtype']]}", data[begin:end])
        if spec["dtype"] == "BF16":  # the upper half of a float
            values = struct.unpack(f"<{count}f", b"".join(struct.pack("<I", v << 16) for v in values))
        out[name] = {"dtype": spec["dtype"], "shape": spec["shape"], "values": list(values)}
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    main()
