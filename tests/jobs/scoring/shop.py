"""A shop of some hundred customers with a model, small enough to be scored many times."""

from datetime import date

import numpy as np
import pandas as pd
import yaml

from cxpredict.config import Bands, load_config
from cxpredict.data.log import CustomerLog
from cxpredict.drivers.reasons import ReasonBasis
from cxpredict.features.build import build_features
from cxpredict.features.origin import Origin
from cxpredict.features.problem import ChurnProblem
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.monitoring.baseline import learn_baseline
from cxpredict.models.churn import ChurnModel

AS_OF = "2024-07-01"
N = 300
SALES = [
    Origin("transactions", "count", "", (("kind", "purchase"),), 30),
    Origin("transactions", "sum", "amount", (("kind", "purchase"),), 90),
    Origin("transactions", "days_since", "", (("kind", "purchase"),)),
]


def write_sales(folder, n=N, seed=3):
    """Write half a year of purchases, the last ones rarer for every third customer."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(n), 12)
    day = rng.integers(0, 182, len(who))
    kept = (who % 3 > 0) | (day < 90)
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(day, unit="D")
    amount = rng.gamma(2, 20, len(who)).round(2)
    frame = pd.DataFrame({"id": [f"c{i:04d}" for i in who], "at": at, "amount": amount})[kept]
    frame.to_csv(folder / "sales.csv", index=False)
    pd.DataFrame(
        {"id": [f"c{i:04d}" for i in range(n)], "plan": rng.choice(["gold", "=basic"], n)}
    ).to_csv(folder / "people.csv", index=False)


def write_config(folder, **changes):
    """Write the configuration of the shop."""
    content = {
        "name": "shop",
        "sources": {
            "people": {
                "path": "people.csv",
                "table": "customers",
                "columns": {"customer_id": "id"},
                "attributes": ["plan"],
            },
            "sales": {
                "path": "sales.csv",
                "table": "transactions",
                "timezone": "UTC",
                "columns": {
                    "customer_id": "id",
                    "occurred_at": "at",
                    "amount": "amount",
                    "kind": {"value": "purchase"},
                },
            },
        },
        "observed_until": date(2024, 7, 1),
        "problems": {"churn": {"inactive": "purchase", "horizon_days": 45}},
        "split": {"test_at": date(2024, 5, 15), "every_days": 30},
        "bands": {"churn": {"medium": 0.3, "high": 0.5}},
        "value": {
            "currency": "EUR",
            "lookback_days": 90,
            "period_days": 30,
            "horizon_days": 360,
            "yearly_discount_rate": 0.1,
            "margin_rate": 0.3,
        },
        "offer": {"contact_cost": 1.0, "incentive": 2.0, "acceptance": 0.3, "holdout_share": 0.2},
        "random_state": 7,
        "artifacts": "artifacts",
        **changes,
    }
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def save_model(folder):
    """Fit a small model of the shop, save it, give its folder and digest."""
    log = CustomerLog.open(load_config(write_config(folder)))
    problem = ChurnProblem(inactive="purchase", horizon_days=45)
    index = problem.population(log, ["2024-04-01", "2024-05-01"])
    X, y = build_features(log, index, aggregates=SALES), problem.labels(log, index)
    model = ChurnModel(effort="fast", random_state=7).fit(X, y)
    bundle = Bundle(
        name="shop-churn",
        problem=problem,
        model=model,
        aggregates=tuple(SALES),
        exclude=(),
        bands=Bands(medium=0.3, high=0.5),
        card={},
        basis=ReasonBasis.learn(X),
        baseline=learn_baseline(X),
    )
    place = folder / "bundle"
    return {"model": place, "digest": bundle.save(place), "as_of": AS_OF}
