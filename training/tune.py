"""Choose windows and effort before the test date: ``python training/tune.py configs/demo.yaml``.

Every candidate is trained and tested at rolling dates that end before the test date of the
configuration, so that the test rows stay untouched. What wins goes into the configuration by hand.
"""

import sys
from itertools import product

import pandas as pd

import cxpredict as cx

WINDOWS = ((30, 90), (7, 30, 90, 365))
EFFORTS = ("fast", "standard")
FOLDS = 2


def log_losses(config, log, problem, windows, effort) -> pd.Series:
    """Give the log loss of one candidate at each date before the test date."""
    apart = problem.settings.gap_days + problem.settings.horizon_days
    last = pd.Timestamp(config.split.test_at) - pd.Timedelta(days=apart)
    every = config.split.every_days
    found = cx.backtest(
        log,
        problem,
        lambda: cx.ChurnModel(effort=effort, random_state=config.random_state),
        first_test=last - (FOLDS - 1) * pd.Timedelta(days=every),
        last_test=last,
        every_days=every,
        test_every_days=every,
        features=config.features.model_copy(update={"windows_days": list(windows)}),
    )
    metrics = found.metrics
    losses = metrics.loc[metrics["metric"] == "log_loss"].set_index("test_at")["estimate"]
    return losses.rename(index=lambda day: str(day.date()))


def main(path: str) -> None:
    """Try every candidate and show the one with the lowest mean log loss first."""
    config = cx.load_config(path)
    if config.problems.churn is None or not hasattr(config.split, "test_at"):
        raise cx.ConfigError(f"{path}: expected a churn problem with split.test_at")
    log = cx.CustomerLog.open(config)
    problem = cx.ChurnProblem(**config.problems.churn.model_dump())
    rows = []
    for windows, effort in product(WINDOWS, EFFORTS):
        losses = log_losses(config, log, problem, windows, effort)
        rows.append(
            {"windows_days": list(windows), "effort": effort, **losses, "mean": losses.mean()}
        )
        print(f"... windows {list(windows)}, effort {effort}: {losses.mean():.4f}", flush=True)
    table = pd.DataFrame(rows).sort_values("mean", ignore_index=True)
    print(f"Log loss by test date\n{table.to_string(index=False, float_format='{:.4f}'.format)}\n")
    best = table.iloc[0]
    print(f"effort: {best['effort']}\nfeatures:\n  windows_days: {best['windows_days']}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python training/tune.py CONFIG.yaml")
    try:
        main(sys.argv[1])
    except cx.CxPredictError as error:
        print(f"cxpredict: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
