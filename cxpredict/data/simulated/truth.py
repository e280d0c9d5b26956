"""What the simulated company cannot see: the truth that estimates are tested against."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.simulated.world import (
    CONTACT_WEEKS,
    DAY,
    END,
    Experience,
    Leaving,
    Times,
    after,
    words,
)
from cxpredict.errors import DataError

ACTION: Final = "retention_call"
# Driver, role, sign with which the quantity in the log moves the hazard, where the log shows it.
_DRIVERS: Final = (
    ("failures", "experience", 1, ("interactions:failure",)),
    ("waiting", "experience", 1, ("interactions:service_request",)),
    ("falling usage", "experience", -1, ("interactions:usage",)),
    ("price rise", "experience", 1, ("interactions:price_rise",)),
    (
        "dissatisfaction",
        "experience",
        -1,
        ("feedback:nps", "feedback:csat", "interactions:complaint"),
    ),
    ("tenure", "confounder", -1, ("customers:since",)),
    ("segment", "confounder", 0, ("customers:segment",)),
)
_NPS_PER_WEEK: Final = 1 / 13
_CSAT_PER_REQUEST: Final = 0.30
_LAST_INVITATION: Final = END - np.timedelta64(7, "D")
_MEAN_SATISFACTION: Final = -0.35


@dataclass(frozen=True)
class Truth:
    """What really drives the simulated company, to compare estimates with.

    Parameters
    ----------
    hazard : DataFrame
        One row per Monday and customer active on it: `customer_id`, `date`, `hazard` (probability
        of cancelling within seven days from `date`, given all that happened before; contacts
        included).
    drivers : DataFrame
        One row per driver, strongest first: `driver`, `role` (experience or confounder), `sign`
        (with which the quantity in the log moves the hazard; 0 for categories), `shows_in` (tuple
        of "interactions:kind", "feedback:metric" or "customers:column"), `sd_log_hazard` (standard
        deviation of its contribution to the log-hazard over active customers and Mondays),
        `mean_abs_log_hazard` (mean distance of it from its mean), `rank`.
    contact_effect : DataFrame
        One row per contact of the randomised test, both arms: `customer_id`, `occurred_at`,
        `action`, `arm`, `log_hazard_effect` (shift of the log-hazard for 12 weeks from the next
        Monday, if treated), `stay_effect` (what that adds to the probability of staying these 12
        weeks, the rest of the state held).
    invitations : DataFrame
        One row per survey invitation: `customer_id`, `segment`, `metric`, `invited_at`,
        `response_probability`, `score` (everyone's, the silent included), `responded`,
        `comment_theme` (of those who commented, else missing).
    margin_by_group : DataFrame
        One row per NPS group and segment (or `all`): `segment`, `group` (detractor, passive,
        promoter), `satisfaction` (latent level held), `margin_12m` (see `promoter_value`).

    Notes
    -----
    Failures, waits and price rises raise the hazard and fade with half-lives of 6 to 8 weeks, usage
    below the customer's normal raises it, and so does low satisfaction, which all of these lower. A
    driver's size is its total effect; `dissatisfaction` is what the others do not explain.
    Complaints and survey scores show satisfaction and have no effect of their own.
    """

    hazard: pd.DataFrame
    drivers: pd.DataFrame
    contact_effect: pd.DataFrame
    invitations: pd.DataFrame
    margin_by_group: pd.DataFrame

    @property
    def promoter_value(self) -> float:
        """Margin of 12 months, in money, gained by lifting a customer from detractor to promoter.

        Notes
        -----
        A controlled causal effect: the same customers on the same Mondays, satisfaction held for 52
        weeks at the mean level of promoters or of detractors, all else as it was. Renewals only,
        undiscounted, without contacts, averaged over customers active on five quarterly dates.
        Comparing observed promoters with detractors gives more: what made the latter unhappy also
        drives them away by itself.
        """
        margin = self.margin_by_group.query("segment == 'all'").set_index("group")["margin_12m"]
        return float(margin.get("promoter", np.nan) - margin.get("detractor", np.nan))

    def churn_probability(self, as_of: Any, *, horizon_days: int) -> pd.Series:
        """Return each active customer's true probability of cancelling within the horizon.

        Parameters
        ----------
        as_of : datetime-like
            Any moment of 2024 or 2025; the state is that of the latest Monday.
        horizon_days : int
            Days, above 0.

        Returns
        -------
        Series
            Probabilities of those active on that Monday, by `customer_id`.

        Raises
        ------
        DataError
            If `as_of` lies outside 2024 and 2025 or the horizon is not positive.

        Notes
        -----
        `1 - (1 - h)^(horizon_days / 7)` with the Monday's hazard h held. Exact for one week; over
        60 days it ranks well, but is too high for customers in a bad spell, which will fade, and
        too low for the others, whose next one is still to come (and lower on average).
        """
        moment, dates = pd.Timestamp(as_of), self.hazard["date"]
        if horizon_days <= 0:
            raise DataError(f"horizon_days: expected a number above 0, got {horizon_days}.")
        if moment.year not in (2024, 2025):
            raise DataError(f"as_of: expected a moment of 2024 or 2025, got {moment:%Y-%m-%d}.")
        monday = moment.normalize() - pd.Timedelta(days=moment.day_of_week)
        hazard = self.hazard[dates == monday].set_index("customer_id")["hazard"]
        return (1 - (1 - hazard) ** (horizon_days / 7)).rename("churn_probability")

    def nps(self, start: Any = None, end: Any = None) -> float:
        """Return the NPS in points that all invited customers would give, the silent included.

        Parameters
        ----------
        start, end : datetime-like, optional
            Invitations from `start` (inclusive) to `end` (exclusive); without limit by default.

        Returns
        -------
        float
            Points from -100 to 100.

        Raises
        ------
        DataError
            If nobody was invited in that time.
        """
        rows = self.invitations[self.invitations["metric"] == "nps"]
        if start is not None:
            rows = rows[rows["invited_at"] >= pd.Timestamp(start)]
        if end is not None:
            rows = rows[rows["invited_at"] < pd.Timestamp(end)]
        if rows.empty:
            raise DataError("nps: expected NPS invitations, found none; choose a longer period.")
        return float(100 * ((rows["score"] >= 9).mean() - (rows["score"] <= 6).mean()))


def simulate_surveys(world: Experience, left_at: Times, rng: np.random.Generator) -> pd.DataFrame:
    """Draw who is invited, what everyone would say and who says it."""
    since = world.customers["since"].to_numpy()
    settled = since + np.timedelta64(28, "D") <= world.mondays[:, None]
    week, customer = np.nonzero(settled & (rng.random(settled.shape) < _NPS_PER_WEEK))
    nps = pd.DataFrame({"customer": customer, "week": week, "metric": "nps", "load": 0.0})
    hours = rng.integers(9 * 3600, 17 * 3600, len(week))
    nps["invited_at"] = after(world.mondays[week], hours)

    requests = world.events["service_request"]
    requests = requests[rng.random(len(requests)) < _CSAT_PER_REQUEST]
    csat = requests[["customer", "week", "load"]].assign(metric="csat")
    answered = after(requests["occurred_at"].to_numpy(), 3600 * requests["value"])
    csat["invited_at"] = after(answered, rng.integers(2 * 3600, DAY, len(csat)))

    rows = pd.concat([nps, csat], ignore_index=True).astype({"metric": "str"})
    limit = np.minimum(left_at[rows["customer"]], _LAST_INVITATION)
    rows = rows[rows["invited_at"].to_numpy() < limit].reset_index(drop=True)
    rows = _would_say(rows, world, rng)
    rows["responded"] = rng.random(len(rows)) < rows["response_probability"]
    # Who is about to leave answers before leaving, so that leaving silences nobody.
    invited = rows["invited_at"].to_numpy()
    time_left = 0.9 * ((left_at[rows["customer"]] - invited) / np.timedelta64(1, "s"))
    delay = np.minimum(rng.exponential(20 * 3600, len(rows)).clip(max=6 * DAY), time_left)
    never = np.datetime64("NaT", "us")
    return rows.assign(answered_at=np.where(rows["responded"], after(invited, delay), never))


def _would_say(rows: pd.DataFrame, world: Experience, rng: np.random.Generator) -> pd.DataFrame:
    """Add scores and response probabilities.

    Given what the log shows before the invitation, whether someone answers does not depend on the
    score. Engaged customers answer, and so do those who have just complained or met failures; the
    indifferent, who drift away without a word, do not.
    """
    n, cell = len(rows), (rows["week"].to_numpy(), rows["customer"].to_numpy())
    state = {name: values[cell] for name, values in world.states.items()}
    logit = np.array([-1.15, -0.95, -1.45])[world.customers["segment_code"].to_numpy()[cell[1]]]
    logit = logit + 1.8 * state["usage level"] - 0.6 * state["waiting"]
    logit = logit + 0.5 * state["failures"] + 2.2 * state["complaints"]
    satisfaction = world.satisfaction[cell]
    mood = satisfaction - _MEAN_SATISFACTION
    recommend = (7.6 + 1.60 * mood + rng.normal(0, 1.1, n)).clip(0, 10)
    content = (4.0 + 0.60 * mood - 0.45 * rows["load"] + rng.normal(0, 0.7, n)).clip(1, 5)
    return rows.assign(
        satisfaction=satisfaction,
        response_probability=1 / (1 + np.exp(-logit)),
        score=np.where(rows["metric"] == "nps", recommend, content).round(),
    )


def build_truth(world: Experience, leaving: Leaving, surveys: pd.DataFrame, ids: Any) -> Truth:
    """Collect the truth; `ids` are the customers' ids by position."""
    active = ~np.isnan(leaving.hazard)
    week, customer = np.nonzero(active)
    hazard = pd.DataFrame({"customer_id": ids.take(customer), "date": world.mondays[week]})
    told = ["metric", "invited_at", "response_probability", "score", "responded", "comment_theme"]
    invitations = surveys[told].copy()
    invitations.insert(0, "customer_id", ids.take(surveys["customer"]))
    invitations.insert(1, "segment", world.customers["segment"].array.take(surveys["customer"]))
    return Truth(
        hazard.assign(hazard=leaving.hazard[active]),
        _drivers(world, active),
        _contact_effect(leaving.contacts, ids),
        invitations,
        _margin_by_group(world, active, surveys[surveys["metric"] == "nps"]),
    )


def _drivers(world: Experience, active: npt.NDArray[np.bool_]) -> pd.DataFrame:
    table = pd.DataFrame(_DRIVERS, columns=["driver", "role", "sign", "shows_in"])
    parts = [pd.Series(world.contributions[driver][active]) for driver in table["driver"]]
    table["sd_log_hazard"] = [part.std(ddof=0) for part in parts]
    table["mean_abs_log_hazard"] = [(part - part.mean()).abs().mean() for part in parts]
    table = table.sort_values("sd_log_hazard", ascending=False, ignore_index=True)
    return table.assign(rank=np.arange(1, len(table) + 1))


def _contact_effect(contacts: pd.DataFrame, ids: Any) -> pd.DataFrame:
    untreated = np.exp(contacts["log_hazard"])
    treated = np.exp(contacts["log_hazard"] + contacts["log_hazard_effect"])
    table = pd.DataFrame({"customer_id": ids.take(contacts["customer"])})
    return table.assign(
        occurred_at=contacts["occurred_at"],
        action=pd.Series(ACTION, index=table.index, dtype="str"),
        arm=words(("held_out", "treated"), contacts["treated"]),
        log_hazard_effect=contacts["log_hazard_effect"],
        stay_effect=np.exp(-CONTACT_WEEKS * treated) - np.exp(-CONTACT_WEEKS * untreated),
    )


def _margin_by_group(
    world: Experience, active: npt.NDArray[np.bool_], surveys: pd.DataFrame
) -> pd.DataFrame:
    """Return the margin of 52 weeks with satisfaction held at each NPS group's mean level."""
    people = world.customers
    weekly = (people["plan_price"] * people["margin_rate"]).to_numpy() * 12 / 52
    groups = pd.cut(surveys["score"], [-1, 6, 8, 10], labels=["detractor", "passive", "promoter"])
    levels = surveys["satisfaction"].groupby(groups, observed=False).mean()
    tables = []
    for group, level in levels.items():
        log_hazard = world.log_hazard_at_satisfaction(level)
        for start in range(0, 53, 13):
            there, year = np.flatnonzero(active[start]), slice(start, start + 52)
            gone = np.exp(log_hazard[year, there]).cumsum(axis=0)
            kept = np.exp(-np.vstack([np.zeros(len(there)), gone[:-1]]))
            margin = (weekly[there] * world.price_factor[year, there] * kept).sum(axis=0)
            rows = pd.DataFrame({"segment": people["segment"].array[there], "margin_12m": margin})
            tables.append(rows.assign(group=str(group), satisfaction=level))
    table = pd.concat(tables)
    table = pd.concat([table.assign(segment="all"), table])
    keys = ["segment", "group", "satisfaction"]
    return table.groupby(keys, dropna=False)["margin_12m"].mean().reset_index()
