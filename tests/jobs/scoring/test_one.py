"""One customer at a time: the row of the batch, digit for digit, or a refusal."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import cxpredict as cx
from cxpredict.config import Bands
from cxpredict.drivers.reasons import ReasonBasis
from cxpredict.errors import DataError, ModelError
from cxpredict.features.origin import Origin
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.scoring.rows import score_rows

COMPLAINT, PURCHASE = (("kind", "complaint"),), (("kind", "purchase"),)
AGGREGATES = (
    Origin("interactions", "count", "", COMPLAINT, 90),
    Origin("interactions", "mean", "value", (("kind", "phone_wait"),), 90),
    Origin("interactions", "share", "", (("channel", "phone"),), 90),
    Origin("transactions", "sum", "amount", (), 180),
    Origin("transactions", "days_since"),
    Origin("feedback", "last", "score", (("metric", "nps"),)),
    Origin("records", "mean_gap"),
)


@pytest.fixture(scope="module")
def batch():
    log = cx.simulate_company(400, seed=5).log
    day = log.span[1].floor("D") - pd.Timedelta(days=100)
    problem = cx.ChurnProblem(cancelled="cancellation", horizon_days=90, gap_days=7)
    index = problem.to_score(log, day)
    X, y = cx.build_features(log, index, aggregates=AGGREGATES), problem.labels(log, index)
    known = y.notna().to_numpy()
    model = cx.ChurnModel(effort="fast", random_state=0).fit(X[known], y[known])
    bundle = Bundle(
        name="demo",
        problem=problem,
        model=model,
        aggregates=AGGREGATES,
        exclude=(),
        bands=Bands(medium=0.1, high=0.3),
        card={},
        basis=ReasonBasis.learn(X),
        version="1",
    )
    return bundle, log, day, X, score_rows(bundle, X).set_index("customer_id")


def test_the_row_of_the_batch(batch):
    bundle, log, day, _, scores = batch
    desk = cx.Desk(bundle, log, day)
    for customer in [*scores.index[:8], *scores.index[:2]]:
        found = desk.score(customer)
        assert found["customer_id"] == customer
        expected = scores.loc[customer]
        pd.testing.assert_series_equal(
            found.drop("customer_id"), expected, check_names=False, check_exact=True
        )
    assert (scores["reason_1"] != "").any()


def test_a_bundle_from_disk_gives_the_same_row(batch, tmp_path):
    bundle, log, day, _, scores = batch
    loaded = Bundle.load(tmp_path / "b", digest=bundle.save(tmp_path / "b"), version="1")
    found = cx.score_one(loaded, log, scores.index[3], day)
    expected = scores.loc[scores.index[3]]
    pd.testing.assert_series_equal(
        found.drop("customer_id"), expected, check_names=False, check_exact=True
    )


def test_nothing_outlives_a_desk(batch):
    bundle, log, day, _, _ = batch
    desk = cx.Desk(bundle, log, day)
    gone = weakref.ref(desk._connection)
    del desk
    gc.collect()
    assert gone() is None


def test_no_row_depends_on_the_batch(batch):
    bundle, _, _, X, scores = batch
    rng = np.random.default_rng(0)
    parts = np.array_split(rng.permutation(len(X)), 7)
    again = pd.concat([score_rows(bundle, X.iloc[part]) for part in parts])
    again = again.set_index("customer_id").loc[scores.index]
    pd.testing.assert_frame_equal(again, scores, check_exact=True)


def test_money_is_asked_for(batch):
    bundle, log, day, _, scores = batch
    customer, desk = scores.index[0], cx.Desk(bundle, log, day)
    assert np.isnan(desk.score(customer)["value_at_risk"])
    offer = cx.Offer(cost=1.0, incentive=5.0, acceptance=cx.Beta(5, 5))
    found = desk.score(customer, worth=1_000.0, offer=offer)
    risk = scores.loc[customer, "churn_probability"]
    assert found["value_at_risk"] == pytest.approx(1_000.0 * risk)
    assert found["action"] in ("contact", "none")
    with pytest.raises(DataError, match="needs `worth`"):
        desk.score(customer, offer=offer)


def test_refusals(batch):
    bundle, log, day, _, scores = batch
    customer, desk = scores.index[0], cx.Desk(bundle, log, day)
    with pytest.raises(DataError, match="found none of this id") as unknown:
        desk.score("nobody-4711")
    assert "4711" not in str(unknown.value)
    gone = sorted(set(log.customers.customer_id.execute()) - set(scores.index))[0]
    with pytest.raises(DataError, match="has left") as left:
        desk.score(gone)
    assert gone not in str(left.value)
    with pytest.raises(DataError, match="after the records end"):
        cx.score_one(bundle, log, customer, "2099-01-01")
    with pytest.raises(DataError, match="nobody is scored at 1999-01-01"):
        cx.score_one(bundle, log, customer, "1999-01-01")
    with pytest.raises(ModelError, match="reasons"):
        cx.score_one(replace(bundle, basis=None), log, customer, day)
