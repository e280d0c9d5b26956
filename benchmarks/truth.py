"""Do the claims hold where the truth is known? ``python benchmarks/truth.py [--json] [--quick]``.

Coverage of intervals, size of tests, bias under confounding, recovery of drivers, equality with
published figures and with other implementations, and what the real data sets say. One part is one
module ``truth_<part>.py`` with a function ``bars(repetitions)``; ``--only`` runs one of them.
"""

import argparse
import json
from importlib import import_module
from pathlib import Path

import pandas as pd

PARTS = sorted(
    path.stem.removeprefix("truth_")
    for path in Path(__file__).parent.glob("truth_*.py")
    if path.stem != "truth_repeat"
)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as last line")
    parser.add_argument("--quick", action="store_true", help="20 repetitions: tries, not proof")
    parser.add_argument("--repetitions", type=int, default=1000, help="of each experiment")
    parser.add_argument("--only", choices=PARTS, help="one part")
    arguments = parser.parse_args()
    bars = []
    for part in [arguments.only] if arguments.only else PARTS:
        repetitions = 20 if arguments.quick else arguments.repetitions
        for each in import_module(f"truth_{part}").bars(repetitions):
            bars.append(each)
            print(f"{part}: {each['name']}: {each['value']} (bar {each['bound']})"
                  f"{'' if each['holds'] else '  MISSED'}", flush=True)  # fmt: skip
    print(pd.DataFrame(bars).to_string(index=False))
    if arguments.json:
        print(json.dumps({"bars": bars}))


if __name__ == "__main__":
    main()
