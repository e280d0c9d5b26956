"""Reasons and descriptions in words."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cxpredict.drivers.reasons import ReasonBasis, reasons_in_words
from cxpredict.drivers.wording import describe_feature, format_number, phrase
from cxpredict.errors import ConfigError, DataError, EmptyDataError
from cxpredict.features.origin import MEASURES, Origin

COMPLAINT = (("kind", "complaint"),)
PURCHASE = (("kind", "purchase"),)
WAIT = (("kind", "phone_wait"),)
NPS = (("metric", "nps"),)
NAN = float("nan")


@pytest.mark.parametrize(
    ("origin", "value", "typical", "words"),
    [
        (
            Origin("interactions", "count", "", COMPLAINT, 30),
            3.0,
            0.0,
            "3 complaints in the last 30 days (typical: 0)",
        ),
        (
            Origin("interactions", "count", "", COMPLAINT, 1),
            1,
            1.0,
            "1 complaint in the last 1 day",
        ),
        (
            Origin("interactions", "count", "", (*COMPLAINT, ("outcome", "not_resolved")), 90),
            2,
            0.0,
            "2 complaints with outcome not resolved in the last 90 days (typical: 0)",
        ),
        (Origin("transactions", "count", "", PURCHASE), 0, 4.0, "No purchases so far (typical: 4)"),
        (
            Origin("transactions", "days_since", "", PURCHASE),
            84.2,
            22.7,
            "No purchase for 84 days (typical: 23)",
        ),
        (
            Origin("interactions", "days_since", "", COMPLAINT),
            1.2,
            40.0,
            "Last complaint 1 day ago (typical: 40)",
        ),
        (Origin("transactions", "days_since", "", PURCHASE), NAN, 9.0, "No purchase so far"),
        (
            Origin("interactions", "mean", "value", WAIT, 90),
            40.0,
            6.25,
            "Phone wait value averaged 40 in the last 90 days (typical: 6.25)",
        ),
        (
            Origin("transactions", "sum", "amount", PURCHASE, 90),
            1234.5,
            3000.0,
            "Purchase amount: 1,234 in total in the last 90 days (typical: 3,000)",
        ),
        (Origin("feedback", "last", "score", NPS), 3, 8.0, "Last NPS score was 3 (typical: 8)"),
        (Origin("feedback", "last", "score", NPS), None, 8.0, "No NPS score so far"),
        (
            Origin("feedback", "change", "score", NPS),
            -4,
            0.0,
            "NPS score changed by -4 (typical: 0)",
        ),
        (
            Origin("feedback", "unanswered", "", NPS, 180),
            2,
            0.0,
            "2 invitations to NPS surveys unanswered in the last 180 days (typical: 0)",
        ),
        (
            Origin("interactions", "share", "", (("channel", "phone"),), 180),
            0.4,
            0.1,
            "40% of interactions by phone in the last 180 days (typical: 10%)",
        ),
        (
            Origin("transactions", "overdue", "", PURCHASE),
            2.5,
            0.9,
            "Time since the last purchase is 2.5 times the usual gap (typical: 0.9)",
        ),
        (Origin("customers", "tenure"), 40.3, 400.0, "Customer for 40 days (typical: 400)"),
        (
            Origin("customers", "attribute", "Contract"),
            "Month-to-Month",
            None,
            "Contract is Month-to-Month",
        ),
        (Origin("customers", "attribute", "eMail opt-in"), False, None, "eMail opt-in is no"),
        (Origin("customers", "attribute", "Referrals"), 0, 1.0, "Referrals is 0 (typical: 1)"),
        (Origin("customers", "attribute", "Offer"), None, None, "Offer is not known"),
        (Origin("calendar", "month"), 12, 6.0, "Month of the year is 12 (typical: 6)"),
        (
            Origin("interactions", "distinct", "channel", (), 90),
            3,
            1.0,
            "3 channels of interactions in the last 90 days (typical: 1)",
        ),
        (
            Origin("interactions", "mean", "value", (("kind", "delivery"),), 90, label="days late"),
            None,
            0.0,
            "No deliveries in the last 90 days",
        ),
        (
            Origin("interactions", "trend", "", COMPLAINT, 30),
            0.35,
            1.0,
            "Number of complaints in the last 30 days is 35% of its longer average (typical: 100%)",
        ),
        (
            Origin("interactions", "trend", "", COMPLAINT, 30),
            0,
            1.0,
            "No complaints in the last 30 days, but some before (typical: 100%)",
        ),
        (
            Origin("transactions", "mean_gap", "", PURCHASE),
            None,
            30.0,
            "Purchases on fewer than two days so far",
        ),
        (Origin("records", "days_since"), 12, 5.0, "No activity for 12 days (typical: 5)"),
        (
            Origin("feedback", "slope", "score", NPS),
            -0.5,
            0.0,
            "NPS score changed by -0.5 per day so far (typical: 0)",
        ),
        (
            Origin("transactions", "gap_std", "", PURCHASE),
            4.2,
            9.0,
            "Gaps between purchases vary by 4 days (typical: 9)",
        ),
    ],
)
def test_phrases(origin, value, typical, words):
    assert phrase(origin.column, origin, value, typical) == words


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (Origin("interactions", "count", "", COMPLAINT, 30), "complaints in the last 30 days"),
        (Origin("interactions", "count", "", (("kind", "delivery"),)), "deliveries so far"),
        (Origin("transactions", "days_since", "", PURCHASE), "days since the last purchase"),
        (Origin("feedback", "last", "score", NPS), "last NPS score"),
        (
            Origin("interactions", "share", "", (("channel", "app"),), 90),
            "share of interactions by app in the last 90 days",
        ),
        (Origin("transactions", "sum", "amount", PURCHASE), "total purchase amount so far"),
        (Origin("customers", "attribute", "Tenure in Months"), "Tenure in Months"),
        (Origin("customers", "tenure"), "days as a customer"),
        (Origin("interactions", "count", "", (), 30), "interactions in the last 30 days"),
        (
            Origin("interactions", "trend", "", COMPLAINT, 30),
            "trend of the complaints in the last 30 days",
        ),
    ],
)
def test_descriptions(origin, words):
    name = origin.column if origin.measure == "attribute" else "its_name"
    assert describe_feature(name, origin) == words


@pytest.mark.parametrize(
    "measure", [measure for measure in MEASURES if measure not in ("tenure", "attribute", "month")]
)
@pytest.mark.parametrize("value", [0.0, 1.0, -2.5, np.inf, -np.inf, NAN, None])
def test_no_value_breaks_a_phrase(measure, value):
    source = "feedback" if measure == "unanswered" else "interactions"
    words = phrase("f", Origin(source, measure, "value", COMPLAINT, 30), value, None)
    assert words[0] == words[0].upper()
    assert not {"nan", "inf", "-inf", "inf%"} & set(words.split())


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (-0.001, "0"), (100, "100"), (1e6, "1,000,000"), (0.5, "0.5"), (-12.345, "-12.3")],
)
def test_numbers_for_people(number, text):
    assert format_number(number) == text


ORIGINS = {
    "complaint_count_30d": Origin("interactions", "count", "", COMPLAINT, 30),
    "complaint_count_90d": Origin("interactions", "count", "", COMPLAINT, 90),
    "purchase_days_since": Origin("transactions", "days_since", "", PURCHASE),
    "Contract": Origin("customers", "attribute", "Contract"),
}
X = pd.DataFrame(
    {
        "complaint_count_30d": [3, 0, 0, 1],
        "complaint_count_90d": [5, 0, 0, 1],
        "purchase_days_since": [84.0, 23.0, 2.0, np.nan],
        "Contract": pd.Categorical(["Month-to-Month", "Two Year", "Two Year", "Two Year"]),
    },
    index=list("abcd"),
)
BASIS = ReasonBasis.learn(X, ORIGINS)
VALUES = np.array(
    [
        [0.6, 0.5, 0.9, 0.2],  # complaints 1.1 together, before purchase .9 and contract .2
        [-0.1, -0.2, 0.05, -0.3],  # one reason only
        [0.4, -0.6, -0.2, -0.1],  # the complaints add up to −.2: no reason, though one is +.4
        [0.001, 0.001, 0.3, 0.0],  # too little to mention
    ]
)


def test_one_reason_per_subject_by_signed_sums():
    reasons = reasons_in_words(VALUES, X, BASIS, top=3)
    assert reasons.columns.tolist() == ["reason_1", "reason_2", "reason_3"]
    assert reasons.loc["a"].tolist() == [
        "3 complaints in the last 30 days (typical: 0)",
        "No purchase for 84 days (typical: 23)",
        "Contract is Month-to-Month",
    ]
    assert reasons.loc["b"].tolist() == ["Last purchase 23 days ago", "", ""]
    assert reasons.loc["c"].tolist() == ["", "", ""]
    assert reasons.loc["d"].tolist() == ["No purchase so far", "", ""]


def test_more_reasons_than_subjects_are_empty():
    reasons = reasons_in_words(VALUES, X, BASIS, top=5)
    assert reasons.shape == (4, 5)
    assert (reasons[["reason_4", "reason_5"]] == "").all(axis=None)
    with pytest.raises(ConfigError, match="from 1 on"):
        reasons_in_words(VALUES, X, BASIS, top=0)


def test_a_fact_is_told_once():
    origins = {
        "purchase_days_since": Origin("transactions", "days_since", "", PURCHASE),
        "records_days_since": Origin("records", "days_since"),
        "refund_days_since": Origin("transactions", "days_since", "", (("kind", "refund"),)),
        "refund_days": Origin("transactions", "days", "", (("kind", "refund"),)),
        "visits": Origin("customers", "attribute", "visits"),
    }
    values = pd.DataFrame(
        [[18.0, 18.0, np.nan, 0.0, 2.0], [18.0, 4.0, 50.0, 1.0, 2.0]], columns=list(origins)
    )
    basis = ReasonBasis.learn(values, origins)
    reasons = reasons_in_words(np.array([[0.5, 0.4, 0.3, 0.2, 0.1]] * 2), values, basis, top=4)
    assert reasons.iloc[0].tolist() == [
        "Last purchase 18 days ago",
        "No refund so far",
        "visits is 2",
        "",
    ]
    assert reasons.iloc[1].tolist() == [
        "Last purchase 18 days ago",
        "Last activity 4 days ago",
        "Last refund 50 days ago",
        "1 day with refunds so far (typical: 0)",
    ]


def test_what_says_how_long_a_customer_is_there_is_one_reason():
    origins = {
        "tenure_days": Origin("customers", "tenure"),
        "renewal_count": Origin("transactions", "count", "", (("kind", "renewal"),)),
        "plan": Origin("customers", "attribute", "plan"),
    }
    rows = pd.DataFrame({"tenure_days": [90.0], "renewal_count": [3.0], "plan": ["gold"]})
    values = np.array([[0.3, 0.2, 0.4]])
    basis = ReasonBasis.learn(rows, origins)  # of one row: nothing is known of any proxy
    apart = reasons_in_words(values, rows, basis, top=3)
    assert apart.iloc[0].tolist() == ["plan is gold", "Customer for 90 days", "3 renewals so far"]
    subjects = {**basis.subjects, "tenure_days": "tenure", "renewal_count": "tenure"}
    together = reasons_in_words(values, rows, replace(basis, subjects=subjects), top=3)
    assert together.iloc[0].tolist() == ["Customer for 90 days", "plan is gold", ""]


def test_attributes_that_say_the_same_are_one_reason():
    # "referred a friend" is whether there are referrals: what pulls against each other is added up
    rng = np.random.default_rng(0)
    referrals = rng.integers(0, 2, 200) * rng.integers(1, 3, 200)
    rows = pd.DataFrame(
        {
            "referrals": referrals,
            "referred": np.where(referrals > 0, "yes", "no"),
            "plan": rng.choice(["basic", "gold"], 200),
        }
    )
    origins = {name: Origin("customers", "attribute", name) for name in rows}
    pushes = np.column_stack(
        [np.where(referrals > 0, -0.8, 0.8), np.where(referrals > 0, 0.5, -0.5), [0.1] * 200]
    )
    reasons = reasons_in_words(pushes, rows, ReasonBasis.learn(rows, origins), top=2)
    none = referrals == 0
    assert reasons.loc[none, "reason_1"].str.startswith("referrals is 0").all()
    assert reasons.loc[none, "reason_2"].str.startswith("plan is").all()
    assert reasons.loc[~none, "reason_1"].str.startswith("plan is").all()
    few = reasons_in_words(pushes[:50], rows[:50], ReasonBasis.learn(rows[:50], origins), top=2)
    assert few["reason_1"].str.startswith("referred is yes").sum() == (~none[:50]).sum()


def test_reasons_of_a_row_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    n = 300
    many = pd.concat([X] * (n // 4), ignore_index=True)
    values = rng.normal(size=(n, 4))
    order = rng.permutation(n)
    straight = reasons_in_words(values, many, BASIS, top=3)
    mixed = reasons_in_words(values[order], many.iloc[order], BASIS, top=3)
    pd.testing.assert_frame_equal(mixed.loc[straight.index], straight)
    given = (values[:, :2].sum(axis=1) > 0.01) + (values[:, 2:] > 0.01).sum(axis=1)
    assert ((straight != "").sum(axis=1) == given).all()


def test_a_basis_is_learnt_once_and_kept_as_text():
    # three customers: lower median of complaints 1, of days 23; the fourth has no purchase
    basis = ReasonBasis.from_state(json.loads(json.dumps(BASIS.to_state())))
    assert basis == BASIS
    assert basis.typical["complaint_count_30d"] == 0.0
    assert basis.typical["purchase_days_since"] == 23.0
    assert basis.typical["Contract"] is None
    with pytest.raises(EmptyDataError, match="no rows"):
        ReasonBasis.learn(X[:0], ORIGINS)
    with pytest.raises(DataError, match="lacks 1 features"):
        reasons_in_words(VALUES, X.drop(columns="Contract"), BASIS, top=3)


def test_reasons_depend_on_no_other_row():
    together = reasons_in_words(VALUES, X, BASIS, top=3)
    shuffled = X[X.columns[::-1]]  # taken by name
    alone = [
        reasons_in_words(VALUES[i : i + 1], shuffled.iloc[i : i + 1], BASIS, top=3)
        for i in range(len(X))
    ]
    pd.testing.assert_frame_equal(pd.concat(alone), together)
    assert reasons_in_words(VALUES[:0], X[:0], BASIS, top=3).empty


def test_a_flag_is_yes_or_no_also_as_a_number():
    rows = pd.DataFrame({"vip": [True, False, False]})
    basis = ReasonBasis.learn(rows)
    pushes = np.full((3, 1), 0.5)
    words = reasons_in_words(pushes, rows, basis, top=1)
    assert words["reason_1"].tolist() == ["vip is yes", "vip is no", "vip is no"]
    as_number = pd.DataFrame({"vip": [1.0, 0.0, np.nan]})
    told = reasons_in_words(pushes, as_number, basis, top=1)["reason_1"].tolist()
    assert told == ["vip is yes", "vip is no", "Vip is not known"]
    other = pd.DataFrame({"vip": [2.0]})
    assert reasons_in_words(pushes[:1], other, basis, top=1)["reason_1"].tolist() == ["vip is 2"]
