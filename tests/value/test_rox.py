"""Return on experience: fixtures, decomposition, uncertainty, refusals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError
from cxpredict.value.rox import return_on_experience
from cxpredict.value.rox.growth import earned_growth, log_earned_growth

GROUPS = ["promoter", "passive", "detractor"]
LIFETIME = pd.DataFrame({"lifetime_value": [900.0, 600.0, 300.0]}, index=GROUPS)
DIRECT = {
    "shift": {"detractor": -0.05, "passive": 0.05},
    "customers": 10_000,
    "cost": 100_000.0,
    "evidence": "assumed",
}
ECONOMICS = pd.DataFrame(
    {
        "retention": [0.9, 0.8, 0.6],
        "retention_se": [0.01, 0.01, 0.02],
        "margin": [120.0, 100.0, 80.0],
        "margin_se": [2.0, 2.0, 3.0],
    },
    index=GROUPS,
)
TIMED = DIRECT | {
    "evidence": "associational",
    "horizon_periods": 2,
    "period_months": 6,
    "discount_rate": 0.1,
    "payment": "end",
}


def test_shift_value_fixture():
    rox = return_on_experience(LIFETIME, **DIRECT)
    assert rox.benefit == pytest.approx(150_000)
    assert (rox.gross, rox.net, rox.npv) == pytest.approx((1.5, 0.5, 50_000))
    assert rox.payback_months is None
    assert rox.terms["term"].tolist() == ["lifetime value"]


def test_calculators_disagree_only_in_the_name():
    # A gain of 750 for a cost of 500 is 150 % gross, 50 % net.
    rox = return_on_experience(
        LIFETIME,
        shift={"detractor": -0.025, "promoter": 0.025},
        customers=50,
        cost=500.0,
        evidence="assumed",
    )
    assert (rox.benefit, rox.gross, rox.net) == pytest.approx((750, 1.5, 0.5))


def test_terms_by_hand():
    rox = return_on_experience(ECONOMICS, **TIMED)
    stay_old = 0.6 / 1.1 + 0.36 / 1.21
    stay_new = 0.8 / 1.1 + 0.64 / 1.21
    expected = [500 * 80 * (stay_new - stay_old), 500 * 20 * stay_new]
    assert rox.terms["benefit"].tolist() == pytest.approx(expected)
    assert rox.benefit == pytest.approx(sum(expected))


def test_all_five_factors_by_hand():
    table = ECONOMICS.assign(cost_to_serve=[10.0, 20.0, 40.0], referral_value=[30.0, 5.0, -15.0])
    tags = {
        "retention": "adjusted",
        "spend": "adjusted",
        "cost to serve": "assumed",
        "word of mouth": "assumed",
    }
    rox = return_on_experience(table, **(TIMED | {"evidence": tags, "payment": "start"}))
    stay_old, stay_new = 1 + 0.6 / 1.1, 1 + 0.8 / 1.1
    expected = [
        500 * (80 - 40 - 15) * (stay_new - stay_old),
        500 * 20 * stay_new,
        500 * 20 * stay_new,
        500 * 20 * stay_new,
    ]
    assert rox.terms["benefit"].tolist() == pytest.approx(expected)
    assert rox.terms["evidence"].tolist() == ["adjusted", "adjusted", "assumed", "assumed"]
    assert rox.benefit == pytest.approx(500 * (85 * stay_new - 25 * stay_old))


def test_two_ways_to_give_lifetime_values_agree():
    rox = return_on_experience(ECONOMICS, **TIMED)
    survival = np.array([[r / 1.1 + r**2 / 1.21] for r in (0.9, 0.8, 0.6)])[:, 0]
    direct = pd.DataFrame({"lifetime_value": survival * [120, 100, 80]}, index=GROUPS)
    assert return_on_experience(direct, **DIRECT).benefit == pytest.approx(rox.benefit)


@pytest.mark.parametrize(
    ("cost", "payment", "months"),
    [
        (10_000.0, "end", 6.0),
        (19_000.0, "end", 12.0),
        (10_000.0, "start", 0.0),
        (10_001.0, "start", 6.0),
        (90_000.0, "end", None),
    ],
)
def test_payback(cost, payment, months):
    # end: 500 * (.8 * 100 - .6 * 80) / 1.1 = 14,545 after 6 months, 14,612 more after 12
    # start: 500 * (100 - 80) = 10,000 at once, 14,545 more after 6 months
    rox = return_on_experience(ECONOMICS, **(TIMED | {"cost": cost, "payment": payment}))
    assert rox.payback_months == months


def test_flows_into_one_group():
    split = return_on_experience(
        LIFETIME, **(DIRECT | {"shift": {"detractor": -0.02, "passive": -0.01, "promoter": 0.03}})
    )
    assert split.benefit == pytest.approx(10_000 * (0.02 * 600 + 0.01 * 300))


@given(
    st.lists(st.floats(0.05, 0.95), min_size=3, max_size=3),
    st.lists(st.floats(-50, 500), min_size=3, max_size=3),
    st.integers(1, 24),
    st.sampled_from(["start", "end"]),
)
@settings(max_examples=40)
def test_moving_there_and_back_is_worth_nothing(retention, margin, periods, payment):
    table = pd.DataFrame({"retention": retention, "margin": margin}, index=GROUPS)
    time = TIMED | {"evidence": "assumed", "horizon_periods": periods, "payment": payment}
    there = return_on_experience(table, **time)
    back = return_on_experience(table, **(time | {"shift": {"detractor": 0.05, "passive": -0.05}}))
    assert there.benefit == pytest.approx(-back.benefit, abs=1e-6)
    assert there.terms["benefit"].sum() == pytest.approx(there.benefit, abs=1e-6)
    double = return_on_experience(table, **(time | {"customers": 20_000}))
    assert double.benefit == pytest.approx(2 * there.benefit, abs=1e-6)


def test_numbers_without_error_have_no_interval():
    rox = return_on_experience(LIFETIME, **DIRECT)
    assert rox.interval is None
    assert rox.probability_positive is None
    assert rox.tornado.empty
    assert rox.table()["low"].isna().all()


def test_interval_of_lifetime_values_by_hand():
    table = LIFETIME.assign(lifetime_value_se=[0.0, 30.0, 40.0])
    rox = return_on_experience(table, **(DIRECT | {"evidence": "experimental"}))
    # benefit 500 * (600 - 300), SE 500 * sqrt(30^2 + 40^2) = 25,000; net SE .25
    assert rox.interval == pytest.approx((0.5 - 0.49, 0.5 + 0.49), abs=0.02)
    assert rox.probability_positive == pytest.approx(0.977, abs=0.008)  # P(z > -2)
    # one at a time: 500 * 1.96 * 40 / 100,000 = .392
    assert rox.tornado["input"].tolist() == [
        "lifetime value of detractor",
        "lifetime value of passive",
    ]
    assert rox.tornado.loc[0, ["low", "high"]].tolist() == pytest.approx([0.892, 0.108], abs=1e-3)


def test_covariance_is_used():
    labels = pd.MultiIndex.from_tuples([(g, "lifetime_value") for g in GROUPS])
    table = LIFETIME.assign(lifetime_value_se=[40.0, 40.0, 40.0])
    together = pd.DataFrame(np.full((3, 3), 1600.0), index=labels, columns=labels)
    rox = return_on_experience(table, **(DIRECT | {"evidence": "adjusted"}), covariance=together)
    # all values move together, so that their differences are certain
    assert rox.interval == pytest.approx((0.5, 0.5), abs=1e-6)


def test_same_seed_same_interval():
    a, b = (return_on_experience(ECONOMICS, **TIMED, random_state=4) for _ in range(2))
    assert a.interval == b.interval
    pd.testing.assert_frame_equal(a.terms, b.terms)
    shuffled = return_on_experience(ECONOMICS.iloc[[2, 0, 1]], **TIMED, random_state=4)
    assert shuffled.interval == a.interval


def test_interval_covers_the_true_return():
    rng = np.random.default_rng(2)
    truth = return_on_experience(ECONOMICS, **TIMED)
    n, reps, hits, term_hits = 400, 120, 0, np.zeros(2)
    for seed in range(reps):
        table = ECONOMICS.copy()
        table["retention"] = rng.binomial(n, ECONOMICS["retention"]) / n
        table["retention_se"] = np.sqrt(table["retention"] * (1 - table["retention"]) / n)
        table["margin"] = rng.normal(ECONOMICS["margin"], ECONOMICS["margin_se"])
        rox = return_on_experience(table, **TIMED, random_state=seed)
        hits += rox.interval[0] <= truth.net <= rox.interval[1]
        term_hits += (rox.terms["low"] <= truth.terms["benefit"]) & (
            truth.terms["benefit"] <= rox.terms["high"]
        )
    # 95 % with 120 repetitions: binomial SE 2 %, three of them below
    assert hits / reps >= 0.89
    assert (term_hits / reps >= 0.89).all()


def test_intervals_widen_with_the_level_and_the_errors():
    narrow = return_on_experience(ECONOMICS, **TIMED, level=0.5).interval
    wide = return_on_experience(ECONOMICS, **TIMED, level=0.99).interval
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_tornado_holds_every_uncertain_input_widest_first():
    rox = return_on_experience(ECONOMICS, **TIMED)
    assert set(rox.tornado["input"]) == {
        f"{quantity} of {group}"
        for quantity in ("retention", "margin")
        for group in ("passive", "detractor")
    }
    width = (rox.tornado["high"] - rox.tornado["low"]).abs()
    assert width.is_monotonic_decreasing
    ends = rox.tornado[["low", "high"]]
    assert ((ends.min(axis=1) < rox.net) & (rox.net < ends.max(axis=1))).all()


def test_table_plot_and_html():
    rox = return_on_experience(ECONOMICS, **TIMED)
    table = rox.table().set_index("measure")
    assert table.loc["gross ROX", "estimate"] == pytest.approx(rox.net + 1)
    assert table.loc["net present value", "low"] == pytest.approx(rox.interval[0] * rox.cost)
    axes = rox.plot().axes[0]
    names = [label.get_text().replace("\n", " ") for label in axes.get_xticklabels()]
    assert names == rox.waterfall()["step"].tolist()
    bars = [(bar.get_y(), bar.get_height()) for bar in axes.patches]
    np.testing.assert_allclose(bars, rox.waterfall()[["start", "amount"]])
    assert "net ROX" in rox._repr_html_()
    return_on_experience(LIFETIME, **DIRECT).plot()


@pytest.mark.parametrize(
    ("table", "change", "told"),
    [
        (LIFETIME, {"shift": {"detractor": -0.05}}, "add up to -0.05"),
        (LIFETIME, {"shift": {"detractor": 0.0}}, "add up to 0"),
        (LIFETIME, {"shift": {"detractor": -0.05, "fan": 0.05}}, "fan"),
        (LIFETIME, {"cost": 0.0}, "cost: expected more than 0"),
        (LIFETIME, {"cost": -1.0}, "cost"),
        (LIFETIME, {"cost": [60_000.0, 60_000.0]}, "one amount"),
        (ECONOMICS, TIMED | {"cost": [1.0] * 4}, "4 amounts"),
        (LIFETIME, {"customers": 0}, "customers"),
        (LIFETIME, {"evidence": "proven"}, "associational"),
        (LIFETIME, {"evidence": {"spend": "assumed"}}, "lifetime value"),
        (LIFETIME, {"evidence": "adjusted"}, "lifetime_value_se"),
        (LIFETIME, {"discount_rate": 0.1}, "built in"),
        (LIFETIME, {"level": 95}, "level"),
        (LIFETIME.assign(retention=0.5), {}, "either"),
        (LIFETIME.assign(share=[0.5, 0.47, 0.03]), {}, "detractor has not that share"),
        (ECONOMICS[["margin"]], {}, "either"),
        (ECONOMICS, {}, "horizon_periods, period_months, discount_rate, payment: needed"),
        (None, {}, "expected a DataFrame"),
    ],
)
def test_bad_input_is_refused(table, change, told):
    with pytest.raises(DataError, match=told):
        return_on_experience(table, **(DIRECT | change))


def test_ambiguous_moves_are_refused():
    table = pd.DataFrame({"lifetime_value": [4.0, 3.0, 2.0, 1.0]}, index=list("abcd"))
    with pytest.raises(DataError, match="who becomes what"):
        return_on_experience(
            table, **(DIRECT | {"shift": {"a": 0.1, "b": 0.1, "c": -0.1, "d": -0.1}})
        )


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("retention", [0.9, 0.8, 1.2], "retention"),
        ("retention_se", [0.0, 0.0, 0.6], "retention_se"),
        ("margin", [1.0, np.nan, 1.0], "margin"),
        ("margin_se", [1.0, 1.0, -1.0], "margin_se"),
    ],
)
def test_bad_economics_are_refused(column, values, told):
    with pytest.raises(DataError, match=told):
        return_on_experience(ECONOMICS.assign(**{column: values}), **TIMED)


def test_money_has_no_default():
    for missing in ("cost", "customers", "shift", "evidence"):
        rest = {name: value for name, value in DIRECT.items() if name != missing}
        with pytest.raises((TypeError, DataError), match=missing):
            return_on_experience(LIFETIME, **rest)


def test_earned_growth_fixture():
    growth = earned_growth(net_revenue_retention=0.85, earned_new=0.25, reported_growth=0.30)
    assert growth.rate == pytest.approx(0.10)
    assert growth.ratio == pytest.approx(1 / 3)
    assert earned_growth(net_revenue_retention=0.85, earned_new=0.25).ratio is None


def test_earned_growth_refuses_percentages():
    with pytest.raises(DataError, match=r"0\.85 means 85 %"):
        earned_growth(net_revenue_retention=85, earned_new=25)
    with pytest.raises(DataError, match="reported_growth"):
        earned_growth(net_revenue_retention=0.85, earned_new=0.25, reported_growth=0.0)


def test_earned_growth_of_a_log_by_hand():
    sales = pd.DataFrame(
        [
            ("old", "2023-01-02", 100.0),
            ("old", "2024-06-01", 80.0),  # net revenue retention 80 / 100
            ("told", "2024-06-01", 30.0),  # new, came by recommendation
            ("found", "2024-12-30", 20.0),  # new, came by search
        ],
        columns=["customer_id", "occurred_at", "amount"],
    )
    people = pd.DataFrame(
        {"customer_id": ["old", "told", "found"], "came by": ["friend", "friend", "search"]}
    )
    log = CustomerLog.from_frames(customers=people, transactions=sales)
    given = {"until": "2024-12-31", "column": "came by", "earned": ["friend"]}
    growth = log_earned_growth(log, **given)
    assert growth.rate == pytest.approx(0.8 + 0.3 - 1)
    assert growth.ratio == pytest.approx(0.1 / 0.3)
    for change, told in (
        ({"until": "2024-06-30"}, "must reach back to 2022-07-01"),
        ({"column": "came"}, "no column 'came'"),
        ({"earned": ["fiend"]}, "no customer has such a value"),
        ({"earned": "friend"}, "expected a list"),
    ):
        with pytest.raises(DataError, match=told):
            log_earned_growth(log, **(given | change))
