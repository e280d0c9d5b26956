"""A run on one source of sales, for the tests of what a source may be."""

from datetime import date

from cxpredict.config import parse_config
from cxpredict.data.log import CustomerLog

COLUMNS = {"customer_id": "id", "occurred_at": "at", "amount": "amount"}


def run_of(sources):
    """Give the content of a configuration file."""
    return {
        "name": "shop",
        "sources": sources,
        "problems": {"churn": {"inactive": "purchase", "horizon_days": 30}},
        "split": {"test_at": date(2024, 6, 1), "every_days": 30},
        "bands": {"churn": {"medium": 0.1, "high": 0.3}},
        "random_state": 7,
    }


def open_sales(folder, *, limit=1.0, **source):
    """Open a log on one source of transactions."""
    settings = {"table": "transactions", "timezone": "UTC", "columns": COLUMNS, **source}
    content = {**run_of({"sales": settings}), "max_reject_share": limit}
    return CustomerLog.open(parse_config(content, directory=folder))


def rows(log, table="transactions"):
    """Bring a table of a log into memory."""
    return log.table[table].to_pandas()
