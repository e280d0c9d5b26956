"""What became known since a date: new records, corrections, days that were not known before."""

import ibis
import ibis.expr.types as ir
import pandas as pd

from cxpredict.features.events import with_gaps

_DAY = ["customer_id", "about", "occurred_at"]


def known_between(rows: ir.Table, since: pd.Timestamp | None, until: pd.Timestamp) -> ir.Table:
    """Take the rows that became known in a span; either clock may be the later one."""
    new = rows.filter(rows.visible_at < until)
    if since is None:
        return new
    if "known_at" not in rows.columns:
        return new.filter(new.visible_at >= since)
    # two parts, so that files in the order of either clock are read only as far as needed
    told = new.filter((new.known_at >= since) & (new.visible_at >= since))
    before = (new.known_at < since).fill_null(True)
    happened = new.filter(before & (new.occurred_at >= since))
    return told.union(happened, distinct=False)


def corrected_customers(rows: ir.Table, since: pd.Timestamp, until: pd.Timestamp) -> ir.Table:
    """Find customers with a corrected record to whom something new became known."""
    new = ((rows.visible_at >= since) & (rows.visible_at < until)) | (
        (rows.replaced_at >= since) & (rows.replaced_at < until)
    ).fill_null(False)
    touched = rows.filter(new).select("customer_id")
    return (
        rows.filter(rows.replaced_at < until)
        .select("customer_id")
        .distinct()
        .semi_join(touched, "customer_id")
    )


def new_days(spans: ir.Table, kept: ir.Table | None) -> ir.Table:
    """Take the days that are not kept yet, each with its gap from the one known before it."""
    if "replaced_at" not in spans.columns:
        spans = spans.mutate(replaced_at=ibis.null("timestamp(6)"))
    columns = [*_DAY, "visible_at", "replaced_at"]
    spans = spans.select(columns)
    if kept is None:
        return with_gaps(spans)
    fresh = spans.anti_join(kept, _DAY)
    before = kept.semi_join(fresh, ["customer_id", "about"])
    newest = ibis.window(
        group_by=["customer_id", "about"],
        order_by=[ibis.desc("visible_at"), ibis.desc("occurred_at")],
    )
    last = before.mutate(nth=ibis.row_number().over(newest)).filter(ibis._.nth == 0)
    both = fresh.mutate(fresh=ibis.literal(True)).union(
        last.select(columns).mutate(fresh=ibis.literal(False)), distinct=False
    )
    return with_gaps(both).filter(ibis._.fresh).drop("fresh")
