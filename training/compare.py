"""Compare two models through time: ``python training/compare.py configs/online_retail.yaml``.

The champion is `cx.ChurnModel`, the challenger a logistic regression. Both are trained and tested
at rolling dates; then the promotion gate says whether the challenger may take the other's place.
"""

import sys

import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer

import cxpredict as cx

FOLDS = 3
SHOWN = ["roc_auc", "log_loss", "ece", "calibration_slope", "lift_at_10pct", "mean_gain"]
HIDDEN = ["kind", "by", "segment", "customers", "events", "compared"]


def logistic_regression():
    """Make a linear model: numbers by rank, categories as flags, gaps as the median."""
    numbers = make_pipeline(
        SimpleImputer(strategy="median"), QuantileTransformer(n_quantiles=100, random_state=0)
    )
    categories = OneHotEncoder(handle_unknown="ignore", min_frequency=20)
    chosen = make_column_selector(dtype_include="category")
    columns = make_column_transformer((categories, chosen), remainder=numbers)
    return make_pipeline(columns, LogisticRegression(C=0.1, max_iter=2_000))


def main(path: str) -> None:
    """Back-test both models, show their stability and what the gate says."""
    config = cx.load_config(path)
    if config.problems.churn is None or not hasattr(config.split, "test_at"):
        raise cx.ConfigError(f"{path}: expected a churn problem with split.test_at")
    problem = cx.ChurnProblem(**config.problems.churn.model_dump())
    last = pd.Timestamp(config.split.test_at)
    first = last - (FOLDS - 1) * pd.Timedelta(days=config.split.every_days)
    found = cx.backtest(
        cx.CustomerLog.open(config),
        problem,
        lambda: cx.ChurnModel(random_state=config.random_state),
        challenger=logistic_regression,
        first_test=first,
        last_test=last,
        every_days=config.split.every_days,
        test_every_days=config.split.every_days,
        features=config.features,
        value=config.value if config.offer else None,
        offer=config.offer,
    )
    for title, table in [
        ("Each test date", found.metrics),
        ("Stability: spread over dates, noise that explains it, change per year", found.stability),
        ("Challenger less champion, all dates", found.comparison.query("kind == 'whole'")),
    ]:
        shown = table[table["metric"].isin(SHOWN)].drop(columns=HIDDEN, errors="ignore")
        text = shown.to_string(index=False, float_format="{:.3f}".format)
        print(f"{title}\n{text}\n")
    rows = found.rows
    given = {"champion": rows["champion"], "weights": rows["weight"], "settings": config.gate}
    given |= {"gain": rows.get("gain_challenger"), "gain_champion": rows.get("gain_champion")}
    decision = cx.promotion_gate(rows["outcome"], rows["challenger"], **given)
    print(f"The challenger {'may be promoted' if decision.passed else 'is refused'}:")
    print(decision.table()[["check", "holds", "reason"]].to_string(index=False))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python training/compare.py CONFIG.yaml")
    try:
        main(sys.argv[1])
    except cx.CxPredictError as error:
        print(f"cxpredict: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
