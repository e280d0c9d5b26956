"""Train the models of a run: ``python training/train.py configs/demo.yaml``.

What ``cxpredict train`` does, on the public API: open and check the records, build point-in-time
features and labels, split by time, audit leakage, fit, calibrate, evaluate, explain, value,
register (all in `cx.train`), and write the report.
"""

import sys

import cxpredict as cx


def main(config: str) -> None:
    """Train, show the metrics with their intervals, and say where the evidence is."""
    run = cx.train(config, progress=lambda step: print(f"... {step}", flush=True))
    print(run.table().to_string(index=False))
    for model, place in run.summary().items():
        print(f"{model}: {place}")
    print(f"report: {cx.write_report(run)}")
    print(f"all runs: {sys.executable} -m mlflow ui --backend-store-uri {run.tracking_uri}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python training/train.py CONFIG.yaml")
    try:
        main(sys.argv[1])
    except cx.CxPredictError as error:
        print(f"cxpredict: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
