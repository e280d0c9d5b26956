"""Train the models of a run: ``python training/train.py configs/demo.yaml``.

The same function as ``cxpredict train``: open and check the log, build point-in-time features and
labels, split by time, audit leakage, fit, calibrate, evaluate, explain, value, register, report.
"""

import sys

from cxpredict.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
