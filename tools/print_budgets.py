"""Prints the suites ctest would run with their time budgets; reads `ctest --show-only=json-v1` on standard input."""

import json
import sys

for test in json.load(sys.stdin)["tests"]:
    properties = {p["name"]: p["value"] for p in test.get("properties", [])}
    print(f"   {test['name']:<28} at most {properties.get('TIMEOUT', 1500):.0f} s")
