"""Back-testing: the right rows at each date, stability by hand, models of any kind."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import cxpredict as cx
from cxpredict.config.features import FeatureSettings
from cxpredict.config.value import OfferSettings, ValueSettings
from cxpredict.errors import ConfigError, ModelError

CHURN = cx.ChurnProblem(cancelled="cancellation", horizon_days=60)
DATES = {"first_test": "2025-03-01", "last_test": "2025-06-29", "every_days": 60}
FEW = FeatureSettings(
    defaults=False,
    aggregates=[{"table": "interactions", "measure": "count", "windows_days": [90]}],
)
DATES["features"] = FEW
ONE_DATE = {**DATES, "last_test": "2025-03-01"}


VALUE = ValueSettings(
    currency="EUR",
    lookback_days=90,
    period_days=30,
    horizon_days=360,
    yearly_discount_rate=0.1,
)
OFFER = OfferSettings(contact_cost=1.0, incentive=5.0, acceptance=0.3, holdout_share=0.1)


class Recency:
    """Knows one feature; remembers what it was fitted on."""

    fits: list[pd.MultiIndex]

    def __init__(self, fits=None, sign=1.0):
        self.fits, self.sign = [] if fits is None else fits, sign

    def fit(self, X, y, sample_weight=None):
        self.fits.append(X.index)
        self.rate = y.mean()
        return self

    def predict_proba(self, X):
        score = X["tenure_days"].rank(pct=True).fillna(0.5).to_numpy()
        p = np.clip(self.rate * (0.5 + (score if self.sign > 0 else 1 - score)), 0.001, 0.999)
        return np.column_stack([1 - p, p])


@pytest.fixture(scope="module")
def found(company):
    fits = []
    result = cx.backtest(
        company.log,
        CHURN,
        lambda: Recency(fits),
        challenger=lambda: Recency(sign=-1.0),
        **DATES,
        value=VALUE,
        offer=OFFER,
        n_bootstrap=60,
    )
    return result, fits


def test_every_date_is_tested_and_trained_on_what_was_over_before(found):
    result, fits = found
    dates = sorted(set(result.rows.index.get_level_values("as_of")))
    assert [str(day.date()) for day in dates] == [
        "2025-03-01",
        "2025-04-30",
        "2025-06-29",
    ]
    assert len(fits) == 3
    for day, index in zip(dates, fits, strict=True):
        assert index.get_level_values("as_of").max() + pd.Timedelta(days=60) <= day


def test_the_metrics_of_a_date_are_those_of_its_rows(found):
    result, _ = found
    for day, rows in result.rows.groupby(level="as_of"):
        expected = cx.evaluate(rows.outcome, rows.champion, n_bootstrap=2)
        own = result.metrics.query("model == 'champion'")
        own = own[own.test_at == day]
        np.testing.assert_allclose(own.estimate, expected.estimate, atol=1e-9)
        assert (own.low <= own.estimate).all()


def test_stability_by_hand(found):
    result, _ = found
    values = result.metrics.query("model == 'champion' and metric == 'roc_auc'")
    row = result.stability.query("model == 'champion' and metric == 'roc_auc'").iloc[0]
    assert row["mean"] == pytest.approx(values.estimate.mean())
    assert row["spread"] == pytest.approx(values.estimate.std())
    assert row["worst"] == values.estimate.min()
    assert row["worst_at"] == values.set_index("test_at").estimate.idxmin()
    years = (values.test_at - values.test_at.min()).dt.days / 365.25
    assert row["trend"] == pytest.approx(np.polyfit(years, values.estimate, 1)[0])
    assert row["low"] < row["trend"] < row["high"]
    assert row["noise"] > 0


def test_the_comparison_is_by_date_and_pooled(found):
    result, _ = found
    table = result.comparison
    pooled = table.query("kind == 'whole' and metric == 'roc_auc'").iloc[0]
    direct = cx.evaluate(result.rows.outcome, result.rows.challenger, n_bootstrap=2)
    assert pooled.challenger == direct.set_index("metric").estimate["roc_auc"]
    by_date = table.query("kind == 'segment' and metric == 'roc_auc'")
    assert by_date.segment.tolist() == ["2025-03-01", "2025-04-30", "2025-06-29"]
    # the challenger ranks the other way round: the two areas add up to 1
    np.testing.assert_allclose(by_date.champion + by_date.challenger, 1, atol=1e-9)


def test_money_is_counted_where_costs_are_configured(found, company):
    result, _ = found
    row = result.comparison.query("kind == 'whole' and metric == 'mean_gain'").iloc[0]
    assert row.champion == pytest.approx(result.rows.gain_champion.mean())
    assert row.challenger == pytest.approx(result.rows.gain_challenger.mean())
    assert row.low < row.difference < row.high
    left = result.rows.outcome == 1
    assert (result.rows.gain_champion[~left] <= 0).all()
    with pytest.raises(ConfigError, match="go together"):
        cx.backtest(company.log, CHURN, Recency, **ONE_DATE, offer=OFFER)


def test_customers_who_repeat_count_once(found):
    result, _ = found
    customers = result.rows.index.get_level_values("customer_id").nunique()
    assert customers < 0.6 * len(result.rows)
    assert set(result.comparison.query("kind == 'whole'").customers) == {customers}


def test_pipelines_and_scores_are_welcome(company):
    pipeline = make_pipeline(
        FunctionTransformer(lambda X: X.select_dtypes("number").fillna(0.0)),
        StandardScaler(),
        LogisticRegression(C=0.01),
    )
    problem = cx.SatisfactionProblem(metric="nps", horizon_days=60, active_days=60)
    result = cx.backtest(
        company.log,
        problem,
        lambda: pipeline,
        **ONE_DATE,
        exclude=["tenure_days"],
        n_bootstrap=10,
    )
    assert set(result.rows.outcome) == {0.0, 1.0}
    assert result.rows.champion.between(0, 1).all()


def test_what_cannot_be_tested_is_refused(company):
    with pytest.raises(ConfigError, match="no feature 'absent'"):
        cx.backtest(company.log, CHURN, Recency, **ONE_DATE, exclude=["absent"])
    with pytest.raises(ConfigError, match="a label column has no dates"):
        cx.backtest(company.log, cx.ChurnProblem(label="left"), Recency, **DATES)


def test_tags_learnt_after_the_first_training_date_are_refused(company):
    late = cx.CommentTagger().fit(company.log, until="2025-06-01").tag(company.log)
    with pytest.raises(ConfigError, match="learnt until 2025-06-01") as error:
        cx.backtest(late, CHURN, Recency, **ONE_DATE, n_bootstrap=5)
    until = str(error.value).split('until="')[1][:10]
    tagged = cx.CommentTagger().fit(company.log, until=until).tag(company.log)
    found = cx.backtest(tagged, CHURN, Recency, **ONE_DATE, n_bootstrap=5)
    assert len(found.rows) > 100


def test_a_date_of_one_outcome_is_refused(company):
    few = cx.ChurnProblem(cancelled="cancellation", horizon_days=1)
    with pytest.raises(ModelError, match=r"test date .*: all [0-9,]+ outcomes are the same"):
        cx.backtest(company.log, few, Recency, **ONE_DATE)
