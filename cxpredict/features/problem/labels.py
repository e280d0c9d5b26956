"""What became of customers after a date: the only module that looks beyond `as_of`."""

import ibis
import ibis.expr.types as ir
import pandas as pd

from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError


def events_of_kind(log: CustomerLog, kind: str) -> ir.Table:
    """Give who, when and known when of all events of a kind, in whichever table they are."""
    tables = [t.filter(t.kind == kind) for t in (log.transactions, log.interactions)]
    events = ibis.union(*(t.select("customer_id", "occurred_at", "known_at") for t in tables))
    if not events.count().execute():
        raise DataError(f"no transaction and no interaction is of kind {kind!r}; mend the problem")
    return events


def window_of(population: ir.Table, *, gap_days: int, horizon_days: int) -> ir.Table:
    """Add the label window ``(opens, closes]`` to every row of (customer_id, as_of)."""
    return population.mutate(
        opens=population.as_of + ibis.interval(days=gap_days),
        closes=population.as_of + ibis.interval(days=gap_days + horizon_days),
    )


def cancels(population: ir.Table, events: ir.Table) -> ir.Table:
    """Label 1 who cancels in the window, 0 who does not, missing who had left before it opened."""
    rows = first_ever(population, events)
    label = ibis.cases(
        (rows.at <= rows.opens, ibis.null("float64")),
        (rows.at <= rows.closes, ibis.literal(1.0)),
        else_=0.0,
    )
    return rows.select("customer_id", "as_of", label=label)


def falls_silent(population: ir.Table, events: ir.Table) -> ir.Table:
    """Label 1 who has no event in the window, 0 who has one."""
    rows = first_inside(population, events)
    return rows.select("customer_id", "as_of", label=rows.at.isnull().cast("float64"))


def first_ever(population: ir.Table, events: ir.Table) -> ir.Table:
    """Add `at`, the time of the customer's first event, whether before the window or after it."""
    first = events.group_by("customer_id").agg(at=events.occurred_at.min())
    return population.left_join(first, "customer_id").drop("customer_id_right")


def first_inside(population: ir.Table, events: ir.Table) -> ir.Table:
    """Add `at`, the time of the first event in the window, missing where there is none."""
    keys = ["customer_id", "as_of"]
    inside = _in_window(population, events)
    first = inside.group_by(keys).agg(at=inside.occurred_at.min())
    return population.left_join(first, keys).drop("customer_id_right", "as_of_right")


def next_score(population: ir.Table, feedback: ir.Table, metric: str) -> ir.Table:
    """Label with the first score answered in the window, missing where there is none."""
    answers = feedback.filter(feedback.metric == metric, feedback.score.notnull())
    inside = _in_window(population, answers)
    keys = ["customer_id", "as_of"]
    # equal times count as one answer, their highest
    moments = inside.group_by([*keys, "occurred_at"]).agg(score=inside.score.max())
    first = moments.group_by(keys).agg(label=moments.score.argmin(moments.occurred_at))
    rows = population.left_join(first, keys)
    return rows.select("customer_id", "as_of", "label")


def _in_window(population: ir.Table, events: ir.Table) -> ir.Table:
    return population.join(events, "customer_id").filter(
        lambda t: (t.occurred_at > t.opens) & (t.occurred_at <= t.closes)
    )


def given_column(
    log: CustomerLog, population: ir.Table, column: str, positive: str | int | None
) -> ir.Table:
    """Label with a column of customers: the number itself, or 1 where it equals `positive`."""
    if column not in log.customers.columns:
        raise DataError(f"the customers table has no label column {column!r}; add it to attributes")
    label = log.customers[column]
    if positive is not None:
        if label.type().is_string():
            label = label == str(positive)
        else:
            label = label.cast("float64") == ibis.literal(str(positive)).try_cast("float64")
        values = log.customers[column].nunique().execute()
        if values > 2:
            raise DataError(f"label {column!r}: expected two values, found {values}")
        known = label.count().execute()
        if known and not label.any().execute():  # of none known, all are customers of today
            raise DataError(
                f"of {known:,} known, no customer has {column!r} = {positive!r}; mend 'positive'"
            )
    labels = log.customers.select("customer_id", label=label.try_cast("float64"))
    rows = population.left_join(labels, "customer_id")
    return rows.select("customer_id", "as_of", "label")


def observed_until(log: CustomerLog, *, kind: str | None) -> pd.Timestamp:
    """Give the end of observation: as declared, else the last record of the label's own tables."""
    if log.observed_until is not None:
        return pd.Timestamp(log.observed_until)
    tables = [log.feedback]
    if kind is not None:
        tables = [t for t in (log.transactions, log.interactions) if _holds(t, kind)]
    ends = [table.occurred_at.max().execute() for table in tables]
    return pd.Series(ends, dtype="datetime64[us]").max()


def _holds(table: ir.Table, kind: str) -> bool:
    return bool(table.filter(table.kind == kind).count().execute())
