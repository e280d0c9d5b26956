"""The tables that a simulated company keeps."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Final

import numpy as np
import pandas as pd

import cxpredict.data.simulated.world as sw
from cxpredict.data.simulated.truth import ACTION, Truth, build_truth, simulate_surveys
from cxpredict.data.simulated.world import DAY, END, START, Experience, Leaving, Times, after, words
from cxpredict.errors import DataError

_WEB, _APP, _EMAIL, _PHONE, _CHAT, _STORE = range(6)
_CALL_COST: Final = 12.0
_NEVER: Final = np.datetime64("NaT", "us")
# Kind of interaction: its touchpoints and channels (those of requests are drawn with the wait).
_PLACES: Final[dict[str, tuple[tuple[str, ...], tuple[int, ...]]]] = {
    "usage": (("use",), (_WEB, _APP)),
    "failure": (("use",), (_WEB, _APP)),
    "service_request": (("support",), ()),
    "complaint": (("support", "support", "billing", "use"), (_EMAIL, _PHONE, _CHAT)),
    "price_rise": (("renewal",), (_EMAIL,)),
    "setup": (("onboarding",), (_WEB, _APP, _STORE)),
    "visit": (("awareness", "consideration", "decision"), (_WEB, _APP, _EMAIL, _STORE)),
    "referral": (("advocacy",), (_WEB, _APP, _EMAIL)),
}
# Theme: what unhappy customers say of it, what happy ones say.
_THEMES: Final = {
    "failures": ("It stopped working again|Too many outages", "It just works|No outages lately"),
    "waiting": ("I waited far too long for an answer|Slow support", "Quick reply|No waiting"),
    "price": ("Too expensive for what it is|The price went up again", "Fair price|Good value"),
    "app": ("The app is confusing|I hardly use it any more", "Easy to use|I use it every day"),
    "staff": ("Staff were rude|The agent did not listen", "Friendly staff|The agent was helpful"),
    "delivery": ("My router came late|The parcel was damaged", "Fast delivery|It came on time"),
}
_TAILS: Final = (
    (".", ", I am looking elsewhere.", ". Please fix this.", ", not good enough."),
    (".", ", keep it up.", ". Thank you!", ", would recommend."),
)


def simulate_frames(n_customers: int, *, seed: int) -> tuple[dict[str, pd.DataFrame], Truth]:
    """Simulate the company's tables as plain frames, and the truth.

    Parameters
    ----------
    n_customers, seed : int
        As in `cxpredict.simulate_company`.

    Returns
    -------
    frames : dict of DataFrame
        The five tables of the log. `customers` has the attributes `plan_price` (money a month on
        joining), `region` and `acquisition`. Kinds of interactions, with what `value` is: usage
        (minutes of a week), failure (minutes), service_request (hours until the answer),
        price_rise (percent); complaint, setup, visit and referral have none.
    truth : Truth
        What really drives the company.

    Raises
    ------
    DataError
        If `n_customers` or `seed` is not such a number.

    Notes
    -----
    Nothing occurs before a customer's `since`, after their cancellation, or after 2025. `known_at`
    is never before `occurred_at` and may lie in 2026, as the last records are still on their way.
    A service request is known once it is answered, for only then is its wait known.

    Examples
    --------
    >>> frames, truth = simulate_frames(50, seed=7)
    >>> len(frames["customers"])
    50
    """
    for name, value, least in (("n_customers", n_customers, 1), ("seed", seed, 0)):
        if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
            raise DataError(f"{name}: expected a whole number of at least {least}, got {value!r}.")
    lives, leaves, answers, wording, records = np.random.default_rng(int(seed)).spawn(5)
    world = sw.simulate_experience(int(n_customers), lives)
    leaving = sw.simulate_leaving(world, leaves)
    surveys = _comments(simulate_surveys(world, leaving.left_at, answers), world, wording)
    ids = pd.array([f"C{number:06d}" for number in range(n_customers)], dtype="str")
    attributes = ["since", "segment", "weight", "plan_price", "region", "acquisition"]
    frames = {"customers": world.customers[attributes].copy()}
    frames["customers"].insert(0, "customer_id", ids)
    for name, rows in (
        ("interactions", _interactions(world, leaving.left_at, records)),
        ("feedback", _feedback(surveys, leaving.left_at, records)),
        ("transactions", _transactions(world, leaving.left_at, records)),
        ("contacts", _contacts(leaving, records)),
    ):
        rows = rows.sort_values(["occurred_at", "customer"], kind="stable", ignore_index=True)
        rows.insert(0, "customer_id", ids.take(rows.pop("customer")))
        frames[name] = rows
    numbers = range(1, len(frames["interactions"]) + 1)
    frames["interactions"]["event_id"] = pd.array([f"E{n:08d}" for n in numbers], dtype="str")
    return frames, build_truth(world, leaving, surveys, ids)


def _journey(world: Experience, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Draw what is in the log but moves nobody to leave, usage aside."""
    since, mondays = world.customers["since"].to_numpy(), world.mondays

    def now_and_then(rate: Any) -> pd.DataFrame:
        week, customer = np.nonzero(rng.random(world.satisfaction.shape) < rate)
        when = sw.moments(rng, mondays[week])
        rows = pd.DataFrame({"customer": customer, "occurred_at": when})
        return rows[when >= since[customer]]

    week, user = np.nonzero(mondays[:, None] + np.timedelta64(6, "D") > since)
    evening = after(mondays[week], 6 * DAY + rng.integers(18 * 3600, DAY, len(week)))
    usage = pd.DataFrame({"customer": user, "occurred_at": evening})
    new = np.flatnonzero(since >= START)
    settling = after(since[new], rng.integers(DAY, 14 * DAY, len(new)))
    return {
        "usage": usage.assign(value=world.minutes[week, user].round(1)),
        "setup": pd.DataFrame({"customer": new, "occurred_at": settling}),
        "visit": now_and_then(0.04),
        "referral": now_and_then(0.005 * np.exp(0.5 * world.satisfaction)),
    }


def _interactions(world: Experience, left_at: Times, rng: np.random.Generator) -> pd.DataFrame:
    parts = []
    for kind, rows in (world.events | _journey(world, rng)).items():
        touchpoints, channels = _PLACES[kind]
        rows = rows[rows["occurred_at"].to_numpy() < left_at[rows["customer"]]]
        touchpoint = words(touchpoints, rng.integers(0, len(touchpoints), len(rows)))
        channel = rng.choice(channels, len(rows)) if channels else rows["channel"]
        parts.append(rows.assign(kind=kind, channel=channel, touchpoint=touchpoint))
    columns = ["customer", "occurred_at", "kind", "channel", "touchpoint", "value", "resolved"]
    parts = [part.reindex(columns=columns).astype({"resolved": "boolean"}) for part in parts]
    table = pd.concat(parts, ignore_index=True).astype({"kind": "str"})

    n, channel, request = len(table), table["channel"], table["kind"] == "service_request"
    typed_in = channel.isin([_PHONE, _STORE]) & (rng.random(n) < 0.4)
    delay = np.where(typed_in, rng.integers(DAY, 5 * DAY, n), 0)
    delay = delay + np.where(request, 3600 * table["value"], 0)
    human = channel.isin([_PHONE, _CHAT, _STORE]) & (request | (table["kind"] == "complaint"))
    agents = [*(f"A{number:02d}" for number in range(1, 41)), None]
    outcome = table.pop("resolved").astype("Int8").fillna(2)
    table.insert(2, "known_at", after(table["occurred_at"].to_numpy(), delay))
    return table.assign(
        channel=words(sw.CHANNELS, channel),
        outcome=words(("unresolved", "resolved", None), outcome),
        agent_id=words(agents, np.where(human, rng.integers(0, 40, n), 40)),
    )


def _feedback(surveys: pd.DataFrame, left_at: Times, rng: np.random.Generator) -> pd.DataFrame:
    n, nps, responded = len(surveys), surveys["metric"] == "nps", surveys["responded"]
    occurred = surveys["answered_at"].fillna(surveys["invited_at"]).to_numpy()
    synced = np.where(rng.random(n) < 0.5, rng.integers(0, 2 * DAY, n), 0)
    unhappy = responded & (surveys["score"] <= np.where(nps, 6, 2))
    called = after(occurred, rng.lognormal(11.5, 0.7, n))
    followed = unhappy & (rng.random(n) < 0.8) & (called < left_at[surveys["customer"]])
    return surveys[["customer", "metric", "comment", "invited_at"]].assign(
        occurred_at=occurred,
        known_at=after(occurred, synced),
        score=surveys["score"].where(responded),
        channel=words(("app", "email"), nps),
        touchpoint=words(("support", "use"), nps),
        followed_up_at=np.where(followed, called, _NEVER),
    )


def _comments(surveys: pd.DataFrame, world: Experience, rng: np.random.Generator) -> pd.DataFrame:
    """Add comments: the unhappy speak of what they went through, the happy of what they like."""
    n, cell = len(surveys), (surveys["week"].to_numpy(), surveys["customer"].to_numpy())
    state = {name: values[cell] for name, values in world.states.items()}
    middle = np.where(surveys["metric"] == "nps", 7.5, 3.5) + rng.normal(0, 0.5, n)
    happy = (surveys["score"] > middle).to_numpy()
    quiet, rest = np.maximum(-state["falling usage"], 0), np.full(n, 0.15)
    went_through = (state["failures"], state["waiting"], 0.1 * state["price rise"], quiet)
    blame = np.column_stack([*went_through, rest, rest])
    praise = np.array([0.15, 0.15, 0.15, 0.25, 0.20, 0.10])
    share = np.where(happy[:, None], praise, blame / blame.sum(axis=1, keepdims=True))
    theme = (share.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1).clip(max=5)
    says = (surveys["responded"] & (rng.random(n) < 0.35)).to_numpy()
    phrases = [
        opening + tail
        for moods in _THEMES.values()
        for mood in (0, 1)
        for opening in moods[mood].split("|")
        for tail in _TAILS[mood]
    ]
    code = (theme * 2 + happy) * 8 + rng.integers(0, 8, n)
    return surveys.assign(
        comment=words([*phrases, None], np.where(says, code, len(phrases))),
        comment_theme=words([*_THEMES, None], np.where(says, theme, len(_THEMES))),
    )


def _transactions(world: Experience, left_at: Times, rng: np.random.Generator) -> pd.DataFrame:
    people, since = world.customers, world.customers["since"].to_numpy()
    day = np.minimum((since - since.astype("datetime64[M]")) / np.timedelta64(1, "D"), 27)
    months = np.arange(START, END, dtype="datetime64[M]").astype("datetime64[us]")
    due = after(months[:, None], day * DAY + 3 * 3600)
    month, payer = np.nonzero((due > since + np.timedelta64(1, "D")) & (due < left_at))
    joined, gone = np.flatnonzero(since >= START), np.flatnonzero(left_at < END)
    failed = world.events["failure"]
    failed = failed[rng.random(len(failed)) < 0.04]
    sorry = after(failed["occurred_at"].to_numpy(), np.array(2 * DAY))
    failed, sorry = (each[sorry < left_at[failed["customer"]]] for each in (failed, sorry))
    parts = [  # kind, customer, time, share of the month's price
        ("purchase", joined, since[joined], 1.0),
        ("renewal", payer, due[month, payer], 1.0),
        ("refund", failed["customer"], sorry, -0.2),
        ("cancellation", gone, left_at[gone], 0.0),
    ]
    code = np.repeat(np.arange(4), [len(who) for _, who, *_ in parts])
    customer = np.concatenate([who for _, who, *_ in parts])
    occurred = np.concatenate([when for *_, when, _ in parts])
    # A rise is charged from the week after its notice.
    week = ((occurred - START) // np.timedelta64(7, "D")).astype(int)
    factor = np.where(week > 0, world.price_factor[np.maximum(week - 1, 0), customer], 1.0)
    price = people["plan_price"].to_numpy()[customer] * factor
    amount = (price * np.array([share for *_, share in parts])[code]).round(2)
    rate = np.where(amount > 0, people["margin_rate"].to_numpy()[customer], 1.0)
    late = np.where(rng.random(len(code)) < 0.1, rng.integers(0, 2 * DAY, len(code)), 0)
    rows = pd.DataFrame({"customer": customer, "occurred_at": occurred})
    rows = rows.assign(known_at=after(occurred, late), amount=amount)
    return rows.assign(
        margin=(amount * rate).round(2), kind=words([kind for kind, *_ in parts], code)
    )


def _contacts(leaving: Leaving, rng: np.random.Generator) -> pd.DataFrame:
    calls, n = leaving.contacts, len(leaving.contacts)
    treated = calls["treated"].to_numpy()
    ended = after(calls["occurred_at"].to_numpy(), rng.integers(60, 1_800, n))
    known = treated & (ended < leaving.left_at[calls["customer"]])
    accepts = rng.random(n) < np.clip(-calls["log_hazard_effect"] / 2, 0.05, 0.90)
    reply = np.where(known, np.where(accepts, 0, rng.choice([1, 1, 2], n)), 3)
    return calls[["customer", "occurred_at"]].assign(
        action=words((ACTION,), np.zeros(n, int)),
        arm=words(("held_out", "treated"), treated),
        cost=np.where(treated, _CALL_COST, 0.0),
        outcome_at=np.where(known, ended, _NEVER),
        outcome=words(("accepted", "declined", "no_answer", None), reply),
    )
