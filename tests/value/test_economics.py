"""What NPS groups are worth: hand-computed means, and recovery under confounding."""

import numpy as np
import pandas as pd
import pytest

from cxpredict.errors import DataError
from cxpredict.value.rox import return_on_experience
from cxpredict.value.rox.economics import GROUPS, group_economics

ROLES = {"group": "group", "retained": "stayed", "margin": "money"}
COVARIATES = ["tenure", "segment", "usage"]


def world(n, rng):
    """Customers whose quality moves score, retention and margin; and the truth of each group."""
    tenure, segment = rng.gamma(2, 12, n), rng.choice(["a", "b"], n)
    usage = rng.normal(size=n)
    quality = 0.8 * usage + 0.5 * (segment == "a") + 0.03 * (tenure - 24)
    quality = np.clip(quality + 0.5 * (np.abs(usage) - 0.8), -2, 2)
    pull = np.column_stack([0.9 * quality, np.zeros(n), -0.9 * quality - 0.2])
    chosen = (pull + rng.gumbel(size=(n, 3))).argmax(axis=1)
    stay = 1 / (1 + np.exp(-(1.2 + np.array([0.5, 0.0, -0.6]) + 0.8 * quality[:, None])))
    mean = 100 + np.array([8.0, 0.0, -8.0]) + 12 * quality[:, None]
    rows = np.arange(n)
    stayed = rng.random(n) < stay[rows, chosen]
    money = mean[rows, chosen] + rng.normal(0, 20, n)
    frame = pd.DataFrame(
        {
            "tenure": tenure,
            "segment": segment,
            "usage": usage,
            "group": np.array(GROUPS)[chosen],
            "stayed": stayed,
            "money": np.where(stayed, money, np.nan),
        }
    )
    truth = np.column_stack([stay.mean(0), (stay * mean).mean(0) / stay.mean(0)])
    return frame, truth


def test_unadjusted_by_hand():
    frame, _ = world(600, np.random.default_rng(0))
    result = group_economics(frame, **ROLES, covariates=COVARIATES, random_state=0)
    for group in GROUPS:
        part = frame[frame["group"] == group]
        row, r, n = result.unadjusted.loc[group], part["stayed"].mean(), len(part)
        paid = part.loc[part["stayed"], "money"]
        assert (row["n"], row["share"]) == (n, pytest.approx(n / 600))
        assert row["retention"] == pytest.approx(r)
        # independent units are all 600 customers, so 600 / 599
        assert row["retention_se"] == pytest.approx(np.sqrt(r * (1 - r) / n * 600 / 599))
        assert row["margin"] == pytest.approx(paid.mean())
        spread = paid.std(ddof=0) / np.sqrt(len(paid))
        assert row["margin_se"] == pytest.approx(spread * np.sqrt(600 / 599))


def test_adjusted_recovers_the_truth_under_confounding():
    rng = np.random.default_rng(17)
    _, truth = world(1_000_000, rng)
    reps, columns = 30, ["retention", "margin"]
    adjusted, unadjusted, errors = [], [], []
    for seed in range(reps):
        frame, _ = world(2_000, rng)
        result = group_economics(frame, **ROLES, covariates=COVARIATES, random_state=seed)
        adjusted.append(result.adjusted[columns].to_numpy())
        unadjusted.append(result.unadjusted[columns].to_numpy())
        errors.append(result.adjusted[["retention_se", "margin_se"]].to_numpy())
    adjusted, unadjusted, errors = map(np.array, (adjusted, unadjusted, errors))
    # The effect of the NPS group: promoter less detractor.
    effect = truth[0] - truth[2]
    bias = (adjusted[:, 0] - adjusted[:, 2]).mean(axis=0) - effect
    naive = (unadjusted[:, 0] - unadjusted[:, 2]).mean(axis=0) - effect
    assert (np.abs(bias) < 0.25 * np.abs(naive)).all()
    # 95 % less three binomial SE of 30 repetitions, as if the six figures were one
    covered = np.abs(adjusted - truth) <= 1.96 * errors
    assert covered.mean() >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 30)
    naive_covered = np.abs(unadjusted - truth)[:, [0, 2]] <= 1.96 * errors[:, [0, 2]]
    assert naive_covered.mean() < 0.3


def test_without_confounding_adjusting_changes_little():
    rng = np.random.default_rng(3)
    frame, _ = world(3_000, rng)
    frame["noise"] = rng.normal(size=3_000)
    result = group_economics(frame, **ROLES, covariates=["noise"], random_state=0)
    gap = (result.adjusted["retention"] - result.unadjusted["retention"]).abs()
    assert (gap < result.adjusted["retention_se"]).all()
    assert result.adjusted["margin_se"].to_numpy() == pytest.approx(
        result.unadjusted["margin_se"].to_numpy(), rel=0.15
    )


def test_covariance_belongs_to_the_errors_and_feeds_rox():
    frame, _ = world(1_500, np.random.default_rng(9))
    result = group_economics(frame, **ROLES, covariates=COVARIATES, random_state=0)
    covariance = result.covariance
    assert covariance.equals(covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9
    for group in GROUPS:
        for quantity in ("retention", "margin"):
            label = (group, quantity)
            expected = result.adjusted.loc[group, f"{quantity}_se"]
            assert np.sqrt(covariance.loc[label, label]) == pytest.approx(expected)
    rox = return_on_experience(
        result.adjusted,
        covariance=covariance,
        shift={"detractor": -0.05, "promoter": 0.05},
        customers=1_000,
        cost=1_000.0,
        evidence="adjusted",
        horizon_periods=5,
        period_months=12,
        discount_rate=0.1,
        payment="end",
    )
    assert rox.interval[0] < rox.net < rox.interval[1]
    assert rox.terms["term"].tolist() == ["retention", "spend"]


def test_table_shows_both():
    frame, _ = world(600, np.random.default_rng(0))
    result = group_economics(frame, **ROLES, covariates=COVARIATES, random_state=0)
    table = result.table()
    assert table[["adjustment", "group"]].value_counts().eq(1).all()
    assert len(table) == 6
    assert (result.overlap["n_eff"] < result.adjusted["n"]).all()


def test_money_through_the_period_by_hand():
    frame, _ = world(600, np.random.default_rng(0))
    half = np.where(frame["stayed"], frame["money"], 45.0)
    frame = frame.assign(money=half, cost=2.0, referrals=np.arange(600) % 2)
    result = group_economics(
        frame, **ROLES, covariates=COVARIATES, cost_to_serve="cost", referral_value="referrals",
        payment="through", random_state=0,
    )  # fmt: skip
    part = frame[frame["group"] == "passive"]
    presence = (1 + part["stayed"].mean()) / 2
    row = result.unadjusted.loc["passive"]
    assert row["margin"] == pytest.approx(part["money"].mean() / presence)
    assert row["cost_to_serve"] == pytest.approx(2.0 / presence)
    assert row["referral_value"] == pytest.approx(part["referrals"].mean() / presence)


def test_rows_of_one_customer_are_no_further_evidence():
    frame, _ = world(600, np.random.default_rng(0))
    frame["who"] = np.arange(600)
    once = group_economics(frame, **ROLES, covariates=COVARIATES, customer="who", random_state=0)
    twice = group_economics(
        pd.concat([frame, frame]), **ROLES, covariates=COVARIATES, customer="who", random_state=0
    )
    pd.testing.assert_frame_equal(once.unadjusted, twice.unadjusted)
    # penalties weigh half as much with twice the rows
    assert twice.adjusted["retention_se"].to_numpy() == pytest.approx(
        once.adjusted["retention_se"].to_numpy(), rel=0.1
    )


def test_a_term_that_cannot_be_told_is_left_out_and_named():
    frame, _ = world(600, np.random.default_rng(0))
    loyal = np.where(frame["group"] == "detractor", 0.0, 1.0)
    result = group_economics(
        frame.assign(cost=1.0, referrals=loyal), **ROLES, covariates=COVARIATES,
        cost_to_serve="cost", referral_value="referrals", random_state=0,
    )  # fmt: skip
    assert "detractors (0)" in result.refused["referral_value"]
    assert "cost_to_serve" in result.adjusted
    assert "referral_value" not in result.adjusted


def _few_detractors(frame):
    keep = frame["group"].ne("detractor") | (frame["group"].eq("detractor").cumsum() <= 12)
    return frame[keep]


def _loyal_detractors(frame):
    loyal = frame["group"] == "detractor"
    return frame.assign(stayed=frame["stayed"] | loyal, money=frame["money"].where(~loyal, 90.0))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_few_detractors, r"30 detractors \(there are 12\)"),
        (_loyal_detractors, r"5 detractors who left \(there are 0\)"),
        (lambda f: f.assign(stayed=False), "5 promoters who stayed"),
        (lambda f: f.drop(columns="money"), "no column money"),
        (lambda f: f.assign(group=7), "600 of 600 rows"),
        (lambda f: f.assign(stayed=2), "stayed: expected True"),
        (lambda f: f.assign(money=np.nan), "money of retained customers"),
        (lambda f: f.set_axis([0] * 600), "599 rows repeat"),
        (lambda f: f.drop(columns="usage"), "covariates"),
    ],
)
def test_what_the_data_cannot_tell_is_refused(change, told):
    frame, _ = world(600, np.random.default_rng(0))
    with pytest.raises(DataError, match=told):
        group_economics(change(frame), **ROLES, covariates=COVARIATES, random_state=0)


def test_groups_that_share_no_customers_are_refused():
    rng = np.random.default_rng(6)
    frame, _ = world(1_200, rng)
    frame["region"] = np.where(frame["group"] == "detractor", "north", "south")
    with pytest.raises(DataError, match="hardly resemble"):
        group_economics(frame, **ROLES, covariates=["region"], random_state=0)
