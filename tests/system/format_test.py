"""Every C++ file is formatted as .clang-format says."""

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

if not shutil.which("clang-format"):
    print("clang-format is missing (Debian package clang-format)")
    sys.exit(1 if os.environ.get("CI") == "true" else 0)

# Versions differ in details, and the tree follows one.
VERSION = "14"
version = subprocess.run(["clang-format", "--version"], capture_output=True, text=True).stdout
if f"version {VERSION}." not in version:
    print(f"not compared: the sources are laid out by clang-format {VERSION} (Debian 12), and this is {version.strip()}")
    sys.exit(0)

files = [str(f) for top in ("evenkeel", "cli", "tests", "examples", "benchmarks") for f in sorted((ROOT / top).rglob("*"))
         if f.suffix in (".h", ".cpp")]
sys.exit(subprocess.run(["clang-format", "--dry-run", "--Werror", *files], cwd=ROOT).returncode)
