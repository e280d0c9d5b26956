"""A benchmark in parts: one module ``<name>_<part>.py`` with ``bars(scale)`` for each."""

import argparse
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd


def slow_tests(what, *paths):
    """Run the tests that are too slow for the suite; give their bar."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow", *paths]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    print(done.stdout[-600:])
    failed = int(done.returncode != 0)
    return {
        "name": f"{what}: slow tests that fail",
        "value": failed,
        "bound": 0,
        "holds": not failed,
    }


def run_parts(name, doc):
    """Run all parts of a benchmark, or one; print its bars as a table and, if asked, as JSON."""
    prefix = f"{name}_"
    files = sorted(Path(__file__).parent.glob(f"{prefix}*.py"))
    parts = [path.stem.removeprefix(prefix) for path in files]
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--json", action="store_true", help="print one JSON object as last line")
    parser.add_argument("--quick", action="store_true", help="a twentieth: tries, not proof")
    parser.add_argument("--only", choices=parts, help="one part")
    arguments = parser.parse_args()
    bars = []
    for part in [arguments.only] if arguments.only else parts:
        for each in import_module(prefix + part).bars(0.05 if arguments.quick else 1.0):
            bars.append(each)
            missed = "" if each["holds"] else "  MISSED"
            print(
                f"{part}: {each['name']}: {each['value']} (bar {each['bound']}){missed}", flush=True
            )
    print(pd.DataFrame(bars).to_string(index=False))
    if arguments.json:
        print(json.dumps({"bars": bars}))
