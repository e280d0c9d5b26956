"""Promote a version: ``python training/promote.py CONFIG.yaml MODEL --by NAME [--version N]``.

The alias ``champion`` moves only through the promotion gate (`cx.promote`): a version that did not
pass it, or is worse than today's champion on the same test rows, is refused with the reason. The
former champion becomes ``archived``; the registry keeps why, by whom and when.
"""

import argparse
import sys

import cxpredict as cx


def main(arguments: list[str]) -> None:
    """Promote, and say over whom and why."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="YAML file of the run")
    parser.add_argument("model", help="registered name, such as demo-churn")
    parser.add_argument("--by", required=True, help="who decides, as it shall be recorded")
    parser.add_argument("--version", help="by default the challenger")
    parser.add_argument("--note", default="", help="what else shall be recorded")
    given = parser.parse_args(arguments)
    done = cx.promote(
        given.config, given.model, by=given.by, version=given.version, note=given.note
    )
    over = f", version {done.former} is archived" if done.former else ""
    print(f"{done.name}: version {done.version} is champion{over}, because {done.reason}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except cx.CxPredictError as error:
        print(f"cxpredict: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
