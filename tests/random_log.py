"""Small logs with everything that makes time difficult: late, back-dated and corrected records."""

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, Phase, settings

from cxpredict.data.log import CustomerLog
from cxpredict.features.origin import Origin

PLAIN = settings(
    deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
)
"""Cases of many queries each: not timed, and not shrunk, since their seed makes them again."""

START = pd.Timestamp("2024-01-01")
DAYS = 120
CUSTOMERS = [f"c{number:02d}" for number in range(12)]
LEVELS = {
    "kind": ["call", "visit", "order"],
    "channel": ["web", "phone", None],
    "touchpoint": ["use", None],
    "outcome": ["good", "bad", None],
}


def moments(rng, n):
    """Draw times, many of them equal or at midnight, where ties and edges lie."""
    hours = rng.integers(0, DAYS * 24, n)
    hours = np.where(rng.random(n) < 0.3, hours // 24 * 24, hours)
    return START + pd.to_timedelta(hours, unit="h")


def with_clocks(rng, frame):
    """Add `known_at`, often late, sometimes before the event; and corrections of some events."""
    n = len(frame)
    delay = np.where(rng.random(n) < 0.3, rng.integers(-48, 40 * 24, n), 0)
    frame["known_at"] = frame["occurred_at"] + pd.to_timedelta(delay, unit="h")
    frame["event_id"] = [f"e{number}" for number in range(n)]
    frame.loc[rng.random(n) < 0.3, "event_id"] = None
    again = frame[frame["event_id"].notna() & (rng.random(n) < 0.2)].copy()
    again["known_at"] += pd.to_timedelta(rng.integers(1, 30 * 24, len(again)), unit="h")
    for column in ("value", "amount", "score"):
        if column in again:
            again[column] = rng.permutation(again[column].to_numpy())
    moved = rng.random(len(again)) < 0.5
    shift = pd.to_timedelta(rng.integers(-72, 72, len(again)), unit="h")
    again["occurred_at"] = again["occurred_at"].where(~moved, again["occurred_at"] + shift)
    return pd.concat([frame, again], ignore_index=True)


def random_frames(seed, n=150, *, corrected=True):
    """Draw interactions, feedback and transactions of a dozen customers."""
    rng = np.random.default_rng(seed)

    def events(**columns):
        frame = pd.DataFrame(
            {"customer_id": rng.choice(CUSTOMERS, n), "occurred_at": moments(rng, n), **columns}
        )
        frame = with_clocks(rng, frame)
        return frame if corrected else frame.drop(columns="event_id")

    levels = {name: rng.choice(np.array(some, object), n) for name, some in LEVELS.items()}
    value = np.where(rng.random(n) < 0.2, np.nan, rng.normal(10, 30, n))
    score = np.where(rng.random(n) < 0.3, np.nan, rng.integers(0, 11, n))
    feedback = events(metric="nps", score=score, channel=levels["channel"])
    feedback["invited_at"] = feedback["occurred_at"] - pd.to_timedelta(
        np.where(feedback["score"].notna(), rng.integers(0, 20, len(feedback)), 0), unit="D"
    )
    return {
        "interactions": events(value=value, **levels),
        "feedback": feedback,
        "transactions": events(
            amount=rng.gamma(2, 20, n), kind=rng.choice(["purchase", "refund"], n)
        ),
    }


def open_log(frames):
    """Open frames whose last records may lie after the last date."""
    return CustomerLog.from_frames(**frames, max_reject_share=0.2)


def every_measure():
    """List aggregates of every measure, with and without filters and windows."""
    call, nps = (("kind", "call"),), (("metric", "nps"),)
    bought = (("kind", "purchase"),)
    plain = [
        *(("count", "", f, w) for f in ((), call) for w in (7, 30, None)),
        *((m, "value", call, w) for m in ("sum", "mean", "min", "max", "last") for w in (30, None)),
        *((m, "value", (), w) for m in ("slope", "change") for w in (30, None)),
        *(("distinct", c, (), w) for c in ("channel", "kind") for w in (7, 30, None)),
        ("share", "", (("channel", "web"),), 30),
        ("trend", "", (), 7),
        ("trend", "value", call, 7),
        ("count", "", (*call, ("outcome", "good")), 30),
        *((m, "", call, w) for m in ("days", "mean_gap", "gap_std", "overdue") for w in (30, None)),
        ("days_since", "", call, None),
        ("days_since", "", (), 30),
    ]
    found = [Origin("interactions", *fields) for fields in plain]
    found += [Origin("feedback", m, "score", nps) for m in ("last", "mean", "change")]
    found += [Origin("feedback", "unanswered", "", nps, w) for w in (30, None)]
    found += [Origin("transactions", m, "amount", bought, 30) for m in ("sum", "mean", "max")]
    found += [Origin("transactions", m, "", bought) for m in ("days", "mean_gap", "overdue")]
    return [*found, Origin("records", "days_since"), Origin("calendar", "month")]
