"""Calibration: hand-computed answers, monotonicity, and coverage where the truth is known."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from cxpredict.errors import ModelError
from cxpredict.models.calibration import Calibration, fit_calibration
from cxpredict.models.calibration.logistic import platt, recalibration
from cxpredict.models.calibration.shift import adjust_base_rate
from cxpredict.models.resampling import bootstrap_counts, grouped_folds


def fitted(margin, y, rng, groups=None):
    groups = np.arange(len(y)) if groups is None else groups
    return fit_calibration(margin, y, groups, weight=np.ones(len(y)), rng=rng)


def sample(rng, n, truth):
    margin = rng.normal(0.0, 1.5, n)
    return margin, (rng.random(n) < truth(margin)).astype(float)


def bent(margin):
    """Monotone, but far from any logistic curve: two plateaus."""
    return 0.1 + 0.25 * expit(12 * (margin + 1)) + 0.5 * expit(12 * (margin - 1))


def test_platt_recovers_intercept_and_slope():
    margin = np.linspace(-3, 3, 50)
    rate = expit(-0.4 + 1.7 * margin)
    found = platt(margin, 200 * rate[None], np.full((1, 50), 200.0), penalty=1e-9)
    assert found[0] == pytest.approx([-0.4, 1.7])


def test_platt_penalty_is_one_observation_towards_no_change():
    # Minimise 2·log(1 + e^-(a + b)) + ½(a² + (b − 1)²) for one margin 1, both rows positive:
    # by symmetry a = b − 1 = t with t = 2·(1 − expit(1 + 2t)).
    found = platt(np.array([1.0]), np.array([[2.0]]), np.array([[2.0]]))[0]
    t = found[0]
    assert found[1] - 1.0 == pytest.approx(t)
    assert t == pytest.approx(2.0 * (1.0 - expit(1.0 + 2.0 * t)))


def test_platt_stays_finite_on_separated_outcomes():
    margin = np.array([-8.0, -6.0, 6.0, 8.0])
    found = platt(margin, (margin > 0)[None] * 50.0, np.full((1, 4), 50.0))[0]
    assert np.isfinite(found).all()
    assert found[1] > 1.0


def test_recalibration_of_known_distortion():
    truth = np.linspace(-2, 2, 30)
    shown = 2.0 * truth + 0.5  # overconfident and shifted: truth = −.25 + .5 · shown
    total = np.full((1, 30), 1e4)
    start = np.array([0.0, 0.0, 1.0])
    _, a, b = recalibration(expit(shown), total * expit(truth), total, start)[0]
    assert (a, b) == pytest.approx((-0.25, 0.5), abs=1e-6)


@pytest.mark.parametrize(
    ("truth", "method"),
    [(expit, "none"), (lambda m: expit(0.4 * m - 1.0), "platt"), (bent, "isotonic")],
    ids=["none", "platt", "isotonic"],
)
def test_chooses_the_map_that_made_the_data(truth, method):
    rng = np.random.default_rng(4)
    margin, y = sample(rng, 6000, truth)
    found = fitted(margin, y, rng)
    # With nothing to mend, any map may win by luck; it must then leave things as they are.
    if method != "none":
        assert found.method == method
    grid = np.linspace(-2.5, 2.5, 21)
    assert np.abs(found.probability(grid) - truth(grid)).mean() < 0.03


@given(
    seed=st.integers(0, 1000),
    n=st.integers(20, 300),
    rate=st.floats(0.05, 0.95),
    ties=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_probabilities_rise_with_the_margin_and_lie_inside_their_interval(seed, n, rate, ties):
    rng = np.random.default_rng(seed)
    margin = rng.normal(size=n)
    if ties:
        margin = margin.round()
    y = (rng.random(n) < rate).astype(float)
    found = fitted(margin, y, rng)
    asked = np.linspace(-9, 9, 101)
    p = found.probability(asked)
    low, high = found.interval(asked).T
    assert (np.diff(p) > 0).all()
    assert ((p > 0) & (p < 1)).all()
    assert ((low <= p) & (p <= high)).all()
    wide_low, wide_high = found.interval(asked, level=0.99).T
    assert ((wide_low <= low) & (high <= wide_high)).all()


def test_state_is_plain_numbers_and_exact():
    rng = np.random.default_rng(0)
    margin, y = sample(rng, 800, bent)
    found = fitted(margin, y, rng)
    again = Calibration.from_state(json.loads(json.dumps(found.to_state(), allow_nan=False)))
    assert again == found
    np.testing.assert_array_equal(again.interval(margin), found.interval(margin))


def test_level_outside_0_1_is_refused():
    rng = np.random.default_rng(0)
    found = fitted(*sample(rng, 100, expit), rng)
    with pytest.raises(ModelError, match=r"between 0 and 1.*got 95"):
        found.interval(np.zeros(1), level=95)


@pytest.mark.parametrize("truth", [lambda m: expit(0.6 * m - 0.5), bent], ids=["platt", "bent"])
def test_interval_covers_the_true_rate(truth):
    rng = np.random.default_rng(11)
    asked = np.linspace(-2.0, 2.0, 9)
    hits = []
    for _ in range(20):
        margin, y = sample(rng, 1500, truth)
        low, high = fitted(margin, y, rng).interval(asked).T
        hits.append((low <= truth(asked)) & (truth(asked) <= high))
    # 20 × 9 checks of a 95 % interval, dependent within a fit; steps of `bent` cost some.
    assert np.mean(hits) > 0.85


def test_copies_of_a_customer_teach_nothing_new():
    rng = np.random.default_rng(5)
    margin, y = sample(rng, 400, lambda m: expit(0.5 * m))
    margin, y, groups = np.repeat(margin, 9), np.repeat(y, 9), np.repeat(np.arange(400), 9)
    by_customer = fitted(margin, y, np.random.default_rng(0), groups)
    by_row = fitted(margin, y, np.random.default_rng(0))
    assert by_customer.method == "platt"
    width = np.ptp(by_customer.interval(np.zeros(1)))
    if by_row.method == "platt":
        assert width == pytest.approx(3 * np.ptp(by_row.interval(np.zeros(1))), rel=0.3)
    # Standard error of a rate near ½ from 400 customers: about .025, so ± .05.
    assert 0.07 < width < 0.13


def test_folds_keep_customers_together_and_balanced():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 200, 1000)
    y = (rng.random(1000) < 0.2).astype(float)
    fold = grouped_folds(y, groups, n_folds=5, rng=rng)
    assert all(len(np.unique(fold[groups == g])) == 1 for g in np.unique(groups))
    assert np.ptp([y[fold == k].mean() for k in range(5)]) < 0.06
    assert np.ptp(np.bincount(fold)) < 100


def test_bootstrap_draws_whole_customers():
    groups = np.repeat([7, 3, 9], [1, 2, 3])
    for count in bootstrap_counts(groups, n_draws=20, rng=np.random.default_rng(0)):
        assert count[1] == count[2]
        assert count[3] == count[4] == count[5]
        assert count[0] + count[1] + count[3] == 3


def test_separated_outcomes_keep_rates_off_the_ends():
    rng = np.random.default_rng(0)
    margin = np.r_[np.linspace(-4, -1, 300), np.linspace(1, 4, 300)]
    found = fitted(margin, (margin > 0).astype(float), rng)
    assert np.isfinite(found.log_odds).all()
    assert np.isfinite(logit(found.probability(np.array([-4.0, 4.0])))).all()


def test_a_base_rate_is_adjusted_for_numbers_only():
    for wrong in (["secret"], pd.Series(["secret"]), [{}]):
        with pytest.raises(ModelError, match="p must hold numbers only") as error:
            adjust_base_rate(wrong, trained_at=0.5, expected=0.2)
        assert "secret" not in str(error.value)
    gaps = pd.Series([0.5, None], dtype="Float64")
    with pytest.raises(ModelError, match="1 of 2 values are missing"):
        adjust_base_rate(gaps, trained_at=0.5, expected=0.2)
