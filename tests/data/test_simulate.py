"""The simulated company keeps the log's contract, and its truth is what its data shows."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from cxpredict.data.contracts import TABLES
from cxpredict.data.simulate import simulate_company
from cxpredict.data.simulated.frames import simulate_frames
from cxpredict.data.simulated.truth import Truth, build_truth
from cxpredict.data.simulated.world import SEGMENTS, Experience, Leaving
from cxpredict.errors import DataError

START, END = pd.Timestamp("2024-01-01"), pd.Timestamp("2026-01-01")
Company = tuple[dict[str, pd.DataFrame], Truth]


@pytest.fixture(scope="module")
def companies() -> list[Company]:
    return [simulate_frames(5_000, seed=seed) for seed in (11, 12, 13)]


@pytest.fixture(scope="module")
def company(companies: list[Company]) -> Company:
    return companies[0]


def left_at(frames: dict[str, pd.DataFrame]) -> pd.Series:
    rows = frames["transactions"].query("kind == 'cancellation'")
    return rows.set_index("customer_id")["occurred_at"]


def leaves_within(
    frames: dict[str, pd.DataFrame], ids: pd.Index, at: object, days: int
) -> pd.Series:
    """Whether each customer cancels within the days from `at` (a time, or one per customer)."""
    left = left_at(frames).reindex(ids).to_numpy()
    return pd.Series(left < np.asarray(at, "datetime64[us]") + np.timedelta64(days, "D"), index=ids)


# Contract of the log


def keeps_contract(frames: dict[str, pd.DataFrame]) -> None:
    customers, left = frames["customers"].set_index("customer_id"), left_at(frames)
    assert customers.index.is_unique
    assert left.index.is_unique
    assert set(frames) == set(TABLES)
    for name, table in frames.items():
        assert pd.api.types.is_string_dtype(table["customer_id"])
        required = {field.name for field in TABLES[name] if field.required}
        assert not table[list(required)].isna().any(axis=None)
        if name == "customers":
            continue
        assert set(table) <= {field.name for field in TABLES[name]}
        who, occurred = table["customer_id"], table["occurred_at"]
        assert occurred.is_monotonic_increasing
        assert occurred.between(START, END, inclusive="left").all()
        assert (occurred >= who.map(customers["since"])).all()
        # Nothing after the cancellation, nor at its moment but the cancellation itself.
        others = table["kind"] != "cancellation" if name == "transactions" else who.notna()
        gone = occurred.to_numpy() >= left.reindex(who).to_numpy()
        assert not (gone & others.to_numpy()).any()
        if "known_at" in table:
            assert (table["known_at"] >= occurred).all()
    feedback, contacts = frames["feedback"], frames["contacts"]
    silent = feedback["score"].isna()
    assert (feedback["occurred_at"] == feedback["invited_at"])[silent].all()
    assert (feedback["occurred_at"] >= feedback["invited_at"]).all()
    assert feedback["comment"][silent].isna().all()
    for metric, low, high in (("nps", 0, 10), ("csat", 1, 5)):
        scores = feedback["score"][(feedback["metric"] == metric) & ~silent]
        assert scores.between(low, high).all()
        assert (scores % 1 == 0).all()
    assert set(contacts["arm"]) <= {"treated", "held_out"}
    assert frames["interactions"]["event_id"].is_unique
    sign = frames["transactions"]["kind"].map(
        {"purchase": 1, "renewal": 1, "refund": -1, "cancellation": 0}
    )
    assert (np.sign(frames["transactions"]["amount"]) == sign).all()


def test_tables_keep_the_contract(company: Company) -> None:
    keeps_contract(company[0])


@settings(max_examples=5, deadline=None)
@given(n=st.integers(1, 12), seed=st.integers(0, 2**32))
def test_small_companies_keep_the_contract(n: int, seed: int) -> None:
    frames, truth = simulate_frames(n, seed=seed)
    keeps_contract(frames)
    assert len(frames["customers"]) == n
    assert len(truth.drivers) == 7


def test_log_takes_every_row() -> None:
    company = simulate_company(150, seed=5)
    frames, _ = simulate_frames(150, seed=5)
    assert company.log.quality.set_index("source")["kept"].to_dict() == {
        name: len(table) for name, table in frames.items()
    }
    assert company.log.quality["rejected"].sum() == 0


def test_same_seed_same_company_other_seed_another() -> None:
    (one, first), (two, second) = (simulate_frames(200, seed=3) for _ in range(2))
    for name in one:
        pd.testing.assert_frame_equal(one[name], two[name])
    for field in fields(Truth):
        pd.testing.assert_frame_equal(getattr(first, field.name), getattr(second, field.name))
    other, _ = simulate_frames(200, seed=4)
    assert not one["interactions"].equals(other["interactions"])


@pytest.mark.parametrize("n", [0, -3, 2.5, True, "10"])
def test_number_of_customers_is_checked(n: object) -> None:
    with pytest.raises(DataError, match="n_customers: expected a whole number of at least 1"):
        simulate_frames(n, seed=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_seed_is_checked(seed: object) -> None:
    with pytest.raises(DataError, match="seed: expected a whole number of at least 0"):
        simulate_frames(10, seed=seed)  # type: ignore[arg-type]


def test_all_channels_stages_and_kinds_occur(company: Company) -> None:
    frames, _ = company
    rows = frames["interactions"]
    assert set(rows["channel"]) == {"web", "app", "email", "phone", "chat", "store"}
    stages = "awareness consideration decision onboarding use support billing renewal advocacy"
    assert set(rows["touchpoint"]) == set(stages.split())
    assert set(frames["transactions"]["kind"]) == {"purchase", "renewal", "refund", "cancellation"}
    per_customer = sum(len(table) for table in frames.values()) / len(frames["customers"])
    assert 60 < per_customer < 150


def test_records_arrive_late(company: Company) -> None:
    frames, _ = company
    rows = frames["interactions"].query(
        "kind != 'service_request' and channel in ['phone', 'store']"
    )
    delay = rows["known_at"] - rows["occurred_at"]
    # 40 % of n records are typed in 1 to 5 days later; 4 standard errors.
    assert (delay > pd.Timedelta(0)).mean() == pytest.approx(0.4, abs=4 * (0.24 / len(rows)) ** 0.5)
    assert delay[delay > pd.Timedelta(0)].between(pd.Timedelta("1D"), pd.Timedelta("5D")).all()
    requests = frames["interactions"].query("kind == 'service_request'")
    waited = pd.to_timedelta(requests["value"].round(4), unit="h") - pd.Timedelta(seconds=1)
    assert (requests["known_at"] - requests["occurred_at"] >= waited).all()


# Hazard


def test_hazard_is_the_frequency_of_leaving(companies: list[Company]) -> None:
    for frames, truth in companies:
        rows = truth.hazard[truth.hazard["date"] < "2025-12-29"].copy()  # that week ends after 2025
        left = left_at(frames).reindex(rows["customer_id"]).to_numpy()
        rows["left"] = left < (rows["date"] + pd.Timedelta(days=7)).to_numpy()
        rows["noise"] = rows["hazard"] * (1 - rows["hazard"])
        rows["tenth"] = pd.qcut(rows["hazard"], 10, labels=False)
        # Given the hazards, each tenth's count is a sum of independent Bernoulli draws.
        tenths = rows.groupby("tenth")[["left", "hazard", "noise"]].sum()
        z = (tenths["left"] - tenths["hazard"]) / tenths["noise"] ** 0.5
        assert z.abs().max() < 4
        assert rows["left"].sum() == (left_at(frames) < "2025-12-29").sum()
        monthly = rows["left"].mean() * 365.25 / 12 / 7
        assert 0.02 < monthly < 0.03


def test_truth_ranks_leavers_within_60_days_well_but_not_perfectly(
    companies: list[Company],
) -> None:
    aucs = []
    for frames, truth in companies:
        for as_of in ("2024-06-03", "2024-11-04", "2025-04-07", "2025-09-01"):
            risk = truth.churn_probability(as_of, horizon_days=60)
            aucs.append(roc_auc_score(leaves_within(frames, risk.index, as_of, 60), risk))
    # Some 120 leavers among 2,800 on each of twelve dates: standard error of the mean below .01.
    assert 0.80 - 0.02 < np.mean(aucs) < 0.85 + 0.02


def test_churn_probability_holds_the_hazard_of_the_monday(company: Company) -> None:
    _, truth = company
    monday = truth.hazard[truth.hazard["date"] == "2025-03-03"].set_index("customer_id")["hazard"]
    week = truth.churn_probability("2025-03-05 12:00", horizon_days=7)
    fortnight = truth.churn_probability("2025-03-03", horizon_days=14)
    pd.testing.assert_series_equal(week, monday, check_names=False)
    pd.testing.assert_series_equal(fortnight, 1 - (1 - monday) ** 2, check_names=False)
    with pytest.raises(DataError, match="2024 or 2025"):
        truth.churn_probability("2026-01-01", horizon_days=7)
    with pytest.raises(DataError, match="horizon_days"):
        truth.churn_probability("2025-03-03", horizon_days=0)


# Drivers


def test_drivers_differ_clearly_in_size(company: Company) -> None:
    drivers = company[1].drivers
    order = ["failures", "waiting", "falling usage", "price rise", "dissatisfaction"]
    assert drivers["driver"].tolist()[:5] == order
    assert drivers["rank"].tolist() == list(range(1, 8))
    size = drivers["sd_log_hazard"].to_numpy()[:4]
    assert (size[:-1] / size[1:] > 1.15).all()


def log_features(frames: dict[str, pd.DataFrame], ids: pd.Index, as_of: str) -> pd.DataFrame:
    """Plain window aggregates of what is known at `as_of`, as any user would compute them."""
    rows, now = frames["interactions"], pd.Timestamp(as_of)
    rows = rows[(rows["occurred_at"] < now) & (rows["known_at"] < now)]

    def recent(kind: str, days: int) -> pd.DataFrame:
        of_kind = rows[
            (rows["kind"] == kind) & (rows["occurred_at"] >= now - pd.Timedelta(days, "D"))
        ]
        return of_kind.groupby("customer_id")["value"].agg(["sum", "mean", "size"]).reindex(ids)

    customers = frames["customers"].set_index("customer_id").loc[ids]
    minutes = np.log(recent("usage", 28)["mean"])
    usual = minutes.groupby(customers["segment"]).transform("mean")
    return pd.DataFrame(
        {
            "failures": np.log1p(recent("failure", 60)["size"].fillna(0)),
            "waiting": np.log1p(recent("service_request", 60)["sum"].fillna(0)),
            "usage": minutes - usual,
            "price rise": recent("price_rise", 60)["sum"].fillna(0),
            "complaints": recent("complaint", 90)["size"].fillna(0),
            "tenure": np.log1p((now - customers["since"]).dt.days / 365.25),
            **{name: (customers["segment"] == name).astype(float) for name in SEGMENTS[1:]},
        }
    )


def test_log_features_recover_the_signs_of_all_drivers(companies: list[Company]) -> None:
    features, left = [], []
    for frames, truth in companies:
        for as_of in pd.date_range("2024-05-06", "2025-10-01", freq="56D"):
            ids = truth.churn_probability(as_of, horizon_days=1).index
            features.append(log_features(frames, ids, str(as_of)))
            left.append(leaves_within(frames, ids, as_of, 56))
    X = pd.concat(features)
    y = pd.concat(left)[X.notna().all(axis=1).to_numpy()]
    X = X.dropna()
    X = (X - X.mean()) / X.std()
    fit = LogisticRegression(C=np.inf, max_iter=1_000).fit(X, y)
    p = fit.predict_proba(X)[:, 1]
    design = np.column_stack([np.ones(len(X)), X])
    information = design.T @ (design * (p * (1 - p))[:, None])
    error = np.sqrt(np.diag(np.linalg.inv(information)))[1:]
    z = pd.Series(fit.coef_[0] / error, index=X.columns)
    assert (z[["failures", "waiting", "price rise", "complaints"]] > 4).all()
    assert (z[["usage", "tenure", "family", "business"]] < -4).all()
    size = pd.Series(np.abs(fit.coef_[0]), index=X.columns)
    assert size["failures"] == size.max()
    assert size[["failures", "waiting", "usage"]].min() > size["price rise"]


# Contacts


def test_contacts_are_randomised(companies: list[Company]) -> None:
    for frames, truth in companies:
        effect = truth.contact_effect
        treated = effect["arm"] == "treated"
        n = len(effect)
        assert treated.mean() == pytest.approx(0.5, abs=4 * 0.5 / n**0.5)
        customers = frames["customers"].set_index("customer_id").loc[effect["customer_id"]]
        before = effect.assign(date=effect["occurred_at"].dt.normalize()).merge(
            truth.hazard, on=["customer_id", "date"], validate="1:1"
        )
        assert len(before) == n
        for value in (
            np.log(before["hazard"]),
            effect["log_hazard_effect"],
            customers["plan_price"],
            customers["since"].astype("int64") / 1e15,
        ):
            one, other = value.to_numpy()[treated], value.to_numpy()[~treated]
            error = (one.var() / len(one) + other.var() / len(other)) ** 0.5
            assert abs(one.mean() - other.mean()) < 4 * error


def test_contacts_keep_customers_as_the_truth_says(companies: list[Company]) -> None:
    rows = []
    for frames, truth in companies:
        effect = truth.contact_effect
        # It works for 12 weeks from the next Monday; only contacts whose 12 weeks end in 2025.
        monday = effect["occurred_at"].dt.normalize() + pd.Timedelta(days=7)
        ids = pd.Index(effect["customer_id"])
        there = ~leaves_within(frames, ids, monday, 0).to_numpy()
        left = leaves_within(frames, ids, monday, 84).to_numpy()
        whole = (monday + pd.Timedelta(days=84) <= END).to_numpy()
        rows.append(effect.assign(left=left)[there & whole])
    effect = pd.concat(rows)
    arms = effect.groupby("arm")["left"].agg(["mean", "size"])
    saved = arms.loc["held_out", "mean"] - arms.loc["treated", "mean"]
    error = (arms["mean"] * (1 - arms["mean"]) / arms["size"]).sum() ** 0.5
    assert saved / error > norm.ppf(0.999)
    # The state is held in the stated effect, hence the second term.
    assert abs(saved - effect["stay_effect"].mean()) < 3.5 * error + 0.005
    assert (effect["log_hazard_effect"] > 0).mean() > 0.01, "some are woken up to leave"
    assert effect["log_hazard_effect"].std() > 0.3


def test_cost_and_outcome_belong_to_treated_contacts(company: Company) -> None:
    contacts = company[0]["contacts"]
    held_out = contacts[contacts["arm"] == "held_out"]
    assert (held_out["cost"] == 0).all()
    assert held_out[["outcome", "outcome_at"]].isna().all(axis=None)
    assert (contacts.loc[contacts["arm"] == "treated", "cost"] > 0).all()
    answered = contacts[contacts["outcome"].notna()]
    assert (answered["outcome_at"] > answered["occurred_at"]).all()


# Surveys


def nps_points(score: pd.Series, weight: pd.Series) -> tuple[float, float]:
    x = (score >= 9).astype(float) - (score <= 6)
    mean = (weight * x).sum() / weight.sum()
    return 100 * mean, 100 * (weight**2 * (x - mean) ** 2).sum() ** 0.5 / weight.sum()


def test_nps_of_respondents_is_biased_and_true_propensities_mend_it(
    companies: list[Company],
) -> None:
    bias = []
    for _, truth in companies:
        invited = truth.invitations.query("metric == 'nps'")
        answered = invited[invited["responded"]]
        true = truth.nps()
        naive, _ = nps_points(answered["score"], answered["score"] * 0 + 1)
        weighted, error = nps_points(answered["score"], 1 / answered["response_probability"])
        assert abs(weighted - true) < 3.5 * error
        assert error < 2
        bias.append(naive - true)
    # Standard error of the mean of three: about .6 points.
    assert np.mean(bias) > 6
    assert min(bias) > 4


def test_answering_is_independent_of_the_score_given_its_probability(
    companies: list[Company],
) -> None:
    for _, truth in companies:
        for _, rows in truth.invitations.groupby("metric"):
            surprise = rows["responded"] - rows["response_probability"]
            centred = rows["score"] - rows["score"].mean()
            noise = rows["response_probability"] * (1 - rows["response_probability"])
            z = (surprise * centred).sum() / (noise * centred**2).sum() ** 0.5
            assert abs(z) < 4


def test_the_happy_and_the_angry_answer_more_than_the_indifferent(
    companies: list[Company],
) -> None:
    rows = pd.concat(truth.invitations.query("metric == 'nps'") for _, truth in companies)
    group = pd.cut(rows["score"], [-1, 3, 6, 8, 10], labels=["angry", "sour", "passive", "happy"])
    rate = rows.groupby(group, observed=True)["response_probability"].agg(["mean", "sem"])
    assert rate["mean"]["angry"] - rate["mean"]["sour"] > 2 * rate["sem"]["angry"]
    assert rate["mean"]["happy"] - rate["mean"]["sour"] > 10 * rate["sem"]["happy"]


def test_feedback_holds_the_answers_of_the_truth(company: Company) -> None:
    frames, truth = company
    keys = ["customer_id", "metric", "invited_at"]
    both = truth.invitations.merge(frames["feedback"], on=keys, suffixes=("_true", ""))
    assert len(both) == len(truth.invitations) == len(frames["feedback"])
    assert (both["score"].notna() == both["responded"]).all()
    assert (both["score"] == both["score_true"])[both["responded"]].all()
    assert (both["comment"].notna() == both["comment_theme"].notna()).all()


def test_nps_counts_all_invited_in_the_period(company: Company) -> None:
    _, truth = company
    rows = truth.invitations.query("metric == 'nps'")
    spring = rows[(rows["invited_at"] >= "2025-03-01") & (rows["invited_at"] < "2025-06-01")]
    share = spring["score"].value_counts(normalize=True)
    by_hand = 100 * (share.reindex([9, 10]).sum() - share[share.index <= 6].sum())
    assert truth.nps("2025-03-01", "2025-06-01") == pytest.approx(by_hand)
    with pytest.raises(DataError, match="longer period"):
        truth.nps("2030-01-01")


# Value of a promoter


def one_customer_world(log_hazard_of_rest: float) -> tuple[Experience, Leaving]:
    weeks = 105
    flat = np.zeros((weeks, 1))
    customers = pd.DataFrame(
        {"segment": ["consumer"], "plan_price": [52 / 12], "margin_rate": [1.0]}
    )
    drivers = ["failures", "waiting", "falling usage", "price rise", "dissatisfaction", "tenure"]
    contributions = dict.fromkeys([*drivers, "segment"], flat)
    contributions["failures"] = flat + log_hazard_of_rest
    mondays = np.datetime64("2024-01-01", "us") + np.arange(weeks) * np.timedelta64(7, "D")
    world = Experience(customers, mondays, {}, flat, flat + 1, {}, flat, contributions)
    contacts = pd.DataFrame(
        {"customer": [0], "week": 0, "occurred_at": mondays[:1], "treated": True}
    ).assign(log_hazard=np.log(0.01), log_hazard_effect=np.log(0.5))
    return world, Leaving(np.array([END.to_datetime64()]), flat + 0.01, contacts)


def test_margin_and_stay_effect_by_hand() -> None:
    world, leaving = one_customer_world(log_hazard_of_rest=3.6)
    surveys = pd.DataFrame(
        {
            "customer": 0,
            "metric": "nps",
            "invited_at": pd.Timestamp("2024-02-05"),
            "satisfaction": [-1.0, 0.0, 1.0],
            "response_probability": 0.5,
            "score": [3.0, 7.0, 10.0],
            "responded": True,
            "comment_theme": None,
        }
    )
    truth = build_truth(world, leaving, surveys, pd.array(["C0"], dtype="str"))
    # One unit of margin a week while there, at a constant hazard: a geometric sum of 52 terms.
    margin = truth.margin_by_group.query("segment == 'all'").set_index("group")["margin_12m"]
    for group, satisfaction in (("detractor", -1), ("passive", 0), ("promoter", 1)):
        kept = np.exp(-np.exp(world.log_hazard_at_satisfaction(satisfaction)[0, 0]))
        assert margin[group] == pytest.approx((1 - kept**52) / (1 - kept))
    assert truth.promoter_value == pytest.approx(margin["promoter"] - margin["detractor"])
    # Halving a weekly hazard of .01 for 12 weeks.
    stay = truth.contact_effect["stay_effect"].item()
    assert stay == pytest.approx(np.exp(-0.06) - np.exp(-0.12))


def test_happier_customers_are_worth_more_in_every_segment(company: Company) -> None:
    table = company[1].margin_by_group.pivot(index="segment", columns="group", values="margin_12m")
    assert (table["detractor"] < table["passive"]).all()
    assert (table["passive"] < table["promoter"]).all()
    assert set(table.index) == {"all", *SEGMENTS}
