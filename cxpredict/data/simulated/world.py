"""The causal model behind the simulated company: what customers live through, and who leaves.

Experience does not depend on leaving, so it is drawn for all customers and weeks at once. Leaving
is then drawn week by week, because retention contacts go only to customers who are still there.
A state on a Monday is made only of what happened before that Monday.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.datetime64]

START: Final = np.datetime64("2024-01-01T00:00:00", "us")
END: Final = np.datetime64("2026-01-01T00:00:00", "us")
DAY: Final = 86_400  # seconds
N_WEEKS: Final = 105
CONTACT_WEEKS: Final = 12

SEGMENTS: Final = ("consumer", "family", "business")
REGIONS: Final = ("north", "east", "south", "west")
ACQUISITIONS: Final = ("search", "referral", "store", "partner")
CHANNELS: Final = ("web", "app", "email", "phone", "chat", "store")

# Weeks before the observed period, so that the first Monday finds customers with a past.
_BURN_IN: Final = 20
_SEGMENT_SHARE: Final = (0.60, 0.25, 0.15)
_SEGMENT_PRICE: Final = np.array([25.0, 45.0, 120.0])
_SEGMENT_MARGIN: Final = np.array([0.45, 0.50, 0.38])
_SEGMENT_LOG_MINUTES: Final = np.array([4.6, 5.1, 5.6])
_SEGMENT_REQUESTS: Final = np.array([0.07, 0.08, 0.12])
_SEGMENT_LOG_HAZARD: Final = np.array([0.20, -0.15, -0.40])
_REGION_FAILURES: Final = np.array([0.7, 0.9, 1.1, 1.5])
_REGION_QUEUE: Final = np.array([1.3, 1.1, 0.9, 0.8])
_REQUEST_CHANNELS: Final = (0.12, 0.16, 0.24, 0.26, 0.12, 0.10)
_CHANNEL_WAIT_HOURS: Final = np.array([14.0, 10.0, 24.0, 8.0, 4.0, 6.0])

# Share of a state that is left one week later: half-lives of 6.6, 6, 8 and 3 weeks.
_KEEP_FAILURES: Final = 0.90
_KEEP_WAITING: Final = 0.89
_KEEP_PRICE: Final = 0.917
_KEEP_USAGE: Final = 0.80

# Effects of one unit of each state: directly on the weekly log-hazard, and on satisfaction.
_BASE_LOG_HAZARD: Final = -7.55
_TENURE_LOG_HAZARD: Final = -0.50
_SATISFACTION_LOG_HAZARD: Final = -0.35
_EFFECTS: Final = {
    "failures": (2.20, -0.45),
    "waiting": (1.60, -0.50),
    "falling usage": (-0.62, 1.20),
    "price rise": (0.14, -0.05),
}


@dataclass(frozen=True)
class Experience:
    """What every customer lives through, whether or not they are still there to live it.

    Arrays are (week, customer). Frames of `events`, by kind, have one row per event with columns
    customer (position), week, occurred_at and, where the kind has them, value and load.
    """

    customers: pd.DataFrame
    mondays: Times
    events: dict[str, pd.DataFrame]
    minutes: Floats
    price_factor: Floats
    states: dict[str, Floats]
    satisfaction: Floats
    contributions: dict[str, Floats]  # to the log-hazard, by driver

    @property
    def log_hazard(self) -> Floats:
        """Log of the weekly cumulative hazard of customers who are not contacted."""
        return np.asarray(_BASE_LOG_HAZARD + sum(self.contributions.values()))

    def log_hazard_at_satisfaction(self, level: float) -> Floats:
        """Return the log-hazard if satisfaction were held at one level and all else stayed."""
        return self.log_hazard + _SATISFACTION_LOG_HAZARD * (level - self.satisfaction)


@dataclass(frozen=True)
class Leaving:
    """Who left when, who was contacted, and the hazard of those who were there each Monday."""

    left_at: Times  # END for customers who stayed
    hazard: Floats  # (week, customer); NaN where the customer was not active
    contacts: pd.DataFrame


@dataclass(frozen=True)
class _Stage:
    """Who can live through something in which week."""

    customers: pd.DataFrame
    mondays: Times
    present: npt.NDArray[np.bool_]
    rng: np.random.Generator

    def events(self, counts: npt.NDArray[Any]) -> pd.DataFrame:
        """Place events in their weeks; those before a customer's first date never happened."""
        counts = counts * self.present
        cells = np.repeat(np.arange(counts.size), counts.ravel())
        week, customer = np.unravel_index(cells, counts.shape)
        when = moments(self.rng, self.mondays[week])
        events = pd.DataFrame({"customer": customer, "week": week, "occurred_at": when})
        return events[when >= self.customers["since"].to_numpy()[customer]].reset_index(drop=True)

    def remembered(self, events: pd.DataFrame, column: str, keep: float) -> Floats:
        """Return on each Monday the sum of what happened before, faded by `keep` per week."""
        cells = np.ravel_multi_index((events["week"], events["customer"]), self.present.shape)
        load = np.zeros(self.present.size)
        np.add.at(load, cells, events[column].to_numpy(float))
        return _faded(load.reshape(self.present.shape), keep)

    def recent_mean(self, values: Floats) -> Floats:
        """Return on each Monday the mean of the weeks before, recent weeks weighing most."""
        return _faded(values * self.present, _KEEP_USAGE) * (1 / _KEEP_USAGE - 1)

    def persistent(self, keep: float, spread: float) -> Floats:
        """Draw stationary first-order autoregressive paths with standard deviation `spread`."""
        path = self.rng.normal(0, spread, self.present.shape)
        for week in range(1, len(path)):
            path[week] = keep * path[week - 1] + np.sqrt(1 - keep**2) * path[week]
        return path


def moments(rng: np.random.Generator, mondays: Times) -> Times:
    """Draw a moment between 07:00 and 22:00 on a day of each given week."""
    day = rng.integers(0, 7, len(mondays)) * DAY
    return after(mondays, day + rng.integers(7 * 3600, 22 * 3600, len(mondays)))


def after(times: Times, seconds: npt.NDArray[Any]) -> Times:
    """Return the times, moved by whole seconds."""
    moved: Times = times + np.asarray(seconds).astype("int64").astype("timedelta64[s]")
    return moved


def words(of: Sequence[str | None], codes: Any) -> Any:
    """Return the text that each code stands for."""
    return pd.array(list(of), dtype="str").take(np.asarray(codes).astype(int))


def simulate_experience(n_customers: int, rng: np.random.Generator) -> Experience:
    """Draw customers and all that happens to them in the observed weeks."""
    customers = _customers(n_customers, rng)
    mondays = START + np.arange(-_BURN_IN, N_WEEKS) * np.timedelta64(7, "D")
    since, segment = customers["since"].to_numpy(), customers["segment_code"].to_numpy()
    present = mondays[:, None] + np.timedelta64(7, "D") > since
    stage = _Stage(customers, mondays, present, rng)
    events = {"failure": _failures(stage), "price_rise": _price_rises(stage)}
    events["service_request"] = _requests(stage, events["failure"])

    own_level = rng.normal(0, 0.20, n_customers)
    deviation = stage.persistent(0.94, 0.60) + rng.normal(0, 0.30, present.shape)
    states = {
        "failures": np.log1p(stage.remembered(events["failure"], "load", _KEEP_FAILURES)),
        "waiting": np.log1p(stage.remembered(events["service_request"], "load", _KEEP_WAITING)),
        "falling usage": stage.recent_mean(deviation),
        "price rise": stage.remembered(events["price_rise"], "value", _KEEP_PRICE),
    }
    attitude = rng.normal(0, 0.7, n_customers) + stage.persistent(0.96, 0.7)
    satisfaction = attitude + sum(_EFFECTS[name][1] * state for name, state in states.items())
    years = np.maximum((mondays[:, None] - since) / np.timedelta64(1, "D"), 0.0) / 365.25
    contributions = {
        name: (direct + _SATISFACTION_LOG_HAZARD * through) * states[name]
        for name, (direct, through) in _EFFECTS.items()
    }
    contributions["dissatisfaction"] = _SATISFACTION_LOG_HAZARD * attitude
    contributions["tenure"] = _TENURE_LOG_HAZARD * np.log1p(years)
    contributions["segment"] = np.broadcast_to(_SEGMENT_LOG_HAZARD[segment], present.shape)

    # Signs of mood in the log that have no effect of their own.
    complaints = stage.events(rng.poisson(0.009 * np.exp(-1.0 * satisfaction)))
    complaints = complaints.assign(load=1.0, resolved=rng.random(len(complaints)) < 0.6)
    events["complaint"] = complaints
    states["complaints"] = np.log1p(stage.remembered(complaints, "load", _KEEP_FAILURES))
    states["usage level"] = stage.recent_mean(deviation + own_level)
    rise = np.ones(present.shape)
    notices = events["price_rise"]
    np.multiply.at(rise, (notices["week"], notices["customer"]), 1 + notices["value"] / 100)
    observed = slice(_BURN_IN, None)
    return Experience(
        customers=customers,
        mondays=mondays[observed],
        events={
            kind: rows[rows["week"] >= _BURN_IN].assign(week=lambda all: all["week"] - _BURN_IN)
            for kind, rows in events.items()
        },
        minutes=np.exp(_SEGMENT_LOG_MINUTES[segment] + own_level + deviation)[observed],
        price_factor=rise[observed].cumprod(axis=0),
        states={name: state[observed] for name, state in states.items()},
        satisfaction=satisfaction[observed],
        contributions={name: part[observed] for name, part in contributions.items()},
    )


def simulate_leaving(world: Experience, rng: np.random.Generator) -> Leaving:
    """Draw who leaves in which week, with a randomised test of retention contacts on the way."""
    since, log_hazard = world.customers["since"].to_numpy(), world.log_hazard
    effect, n, quarter = _contact_effect(world), len(since), np.timedelta64(91, "D")
    left_at, hazard = np.full(n, END), np.full((N_WEEKS, n), np.nan)
    contact_week, shift = np.full(n, -1_000), np.zeros(n)
    waves = []
    for week, monday in enumerate(world.mondays):
        active = (since <= monday) & (left_at > monday)
        works = (contact_week < week) & (week <= contact_week + CONTACT_WEEKS)
        now = -np.expm1(-np.exp(log_hazard[week] + works * shift))
        hazard[week, active] = now[active]
        leaving = np.flatnonzero(active & (rng.random(n) < now))
        moment = after(np.full(len(leaving), monday), rng.integers(0, 7 * DAY, len(leaving)))
        left_at[leaving] = np.minimum(moment, END)
        if week < 13 or week % 4:
            continue
        eligible = active & (week - contact_week >= 26) & (since <= monday - quarter)
        chosen = np.flatnonzero(eligible & (rng.random(n) < 0.08))
        when = after(np.full(len(chosen), monday), rng.integers(9 * 3600, 17 * 3600, len(chosen)))
        there = left_at[chosen] > when
        chosen, when = chosen[there], when[there]
        treated = rng.random(len(chosen)) < 0.5
        contact_week[chosen] = week
        shift[chosen] = np.where(treated, effect[week, chosen], 0.0)
        wave = pd.DataFrame({"customer": chosen, "week": week, "occurred_at": when})
        wave = wave.assign(treated=treated, log_hazard=log_hazard[week, chosen])
        waves.append(wave.assign(log_hazard_effect=effect[week, chosen]))
    return Leaving(left_at, hazard, pd.concat(waves, ignore_index=True))


def _contact_effect(world: Experience) -> Floats:
    # Making up for waits works; a call reminds those who hardly use the service to leave it.
    waiting, usage = world.states["waiting"], world.states["falling usage"]
    return np.clip(-0.55 - 0.90 * waiting + 1.00 * (usage < -0.45), -1.8, 0.5)


def _customers(n: int, rng: np.random.Generator) -> pd.DataFrame:
    segment, region = rng.choice(3, n, p=_SEGMENT_SHARE), rng.integers(0, 4, n)
    days_before = -1 - np.minimum(rng.exponential(600, n), 2_500)
    days = np.where(rng.random(n) < 0.55, days_before, rng.random(n) * 715).astype(int)
    return pd.DataFrame(
        {
            "since": START + days.astype("timedelta64[D]"),
            "segment": words(SEGMENTS, segment),
            "weight": 1.0,
            "plan_price": (_SEGMENT_PRICE[segment] * np.exp(rng.normal(0, 0.15, n))).round(2),
            "region": words(REGIONS, region),
            "acquisition": words(ACQUISITIONS, rng.choice(4, n, p=(0.4, 0.2, 0.15, 0.25))),
            "margin_rate": np.clip(_SEGMENT_MARGIN[segment] + rng.normal(0, 0.04, n), 0.1, 0.9),
            "segment_code": segment,
            "region_code": region,
        }
    )


def _failures(stage: _Stage) -> pd.DataFrame:
    rng, region = stage.rng, stage.customers["region_code"].to_numpy()
    outage = np.where(rng.random((len(stage.mondays), 4)) < 0.06, 4.0, 0.85)[:, region]
    quality = rng.gamma(0.6, 1 / 0.6, len(region)) * _REGION_FAILURES[region]
    events = stage.events(rng.poisson(0.08 * outage * quality))
    minutes = np.exp(rng.normal(4.0, 0.9, len(events))).round(1)
    return events.assign(value=minutes, load=np.log1p(minutes / 30))


def _price_rises(stage: _Stage) -> pd.DataFrame:
    events = stage.events((stage.rng.random(stage.present.shape) < 0.02).astype(int))
    return events.assign(value=stage.rng.choice([3.0, 5.0, 8.0, 12.0], len(events)))


def _requests(stage: _Stage, failures: pd.DataFrame) -> pd.DataFrame:
    rng, customers = stage.rng, stage.customers
    rate = np.tile(_SEGMENT_REQUESTS[customers["segment_code"]], (len(stage.mondays), 1))
    np.add.at(rate, (failures["week"], failures["customer"]), 0.25)
    events = stage.events(rng.poisson(rate))
    who, n = events["customer"].to_numpy(), len(events)
    luck = np.exp(rng.normal(0, 0.8, len(customers)))
    season = np.exp(0.3 * np.sin(2 * np.pi * events["week"].to_numpy() / 52))
    queue = _REGION_QUEUE[customers["region_code"]][who] * luck[who] * season
    channel = rng.choice(len(CHANNELS), n, p=_REQUEST_CHANNELS)
    hours = _CHANNEL_WAIT_HOURS[channel] * queue * np.exp(rng.normal(0, 0.7, n))
    hours = np.clip(hours, 0.1, 400.0).round(1)
    resolved = rng.random(n) < 1 / (1 + hours / 60)
    return events.assign(channel=channel, value=hours, load=np.log1p(hours / 8), resolved=resolved)


def _faded(load: Floats, keep: float) -> Floats:
    state = np.zeros_like(load)
    for week in range(1, len(load)):
        state[week] = keep * (state[week - 1] + load[week - 1])
    return state
