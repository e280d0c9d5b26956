"""A company's records whose future can be changed at will, and what must then stay the same."""

import ibis
import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from random_log import START, every_measure

import cxpredict as cx

AS_OF = START + pd.Timedelta(days=500)
EVENTS = ("interactions", "feedback", "transactions")


class Records:
    """A company's tables in one engine, whose expression is compiled once and run on any change."""

    def __init__(self, company, n_customers=100):
        history = {name: company.log.history(name).to_pandas() for name in EVENTS}
        ids = sorted(company.log.customers.customer_id.to_pandas())[:n_customers]
        self.frames = {name: f[f.customer_id.isin(ids)] for name, f in history.items()}
        self.connection = ibis.duckdb.connect()
        tables = {name: self.put(name, frame) for name, frame in self.frames.items()}
        log = cx.CustomerLog.from_tables(**tables)
        defaults = cx.default_aggregates(log, until=AS_OF, windows_days=(60,))
        more = [o for o in every_measure() if o.measure not in {d.measure for d in defaults}]
        dates = [AS_OF - pd.Timedelta(days=30), AS_OF]
        population = pd.MultiIndex.from_product([ids, dates], names=["customer_id", "as_of"])
        self.connection.create_table("population", population.to_frame(index=False))
        table = cx.feature_table(
            log, self.connection.table("population"), aggregates=[*defaults, *more]
        )
        self.table = table.order_by("customer_id", "as_of")
        self.table.execute()  # registers the small tables of the expression
        self.sql = ibis.to_sql(self.table, dialect="duckdb")
        self.features = self.run()

    def put(self, name, frame):
        return self.connection.create_table(
            name, frame, schema=self.schema(name, frame), overwrite=True
        )

    @staticmethod
    def schema(name, frame):
        kinds = {"M": "timestamp(6)", "f": "float64"}
        return {c: kinds.get(frame[c].dtype.kind, "string") for c in frame.columns}

    def run(self):
        return self.connection.raw_sql(self.sql).df()

    def hidden(self, name):
        frame = self.frames[name]
        return ((frame.occurred_at >= AS_OF) | (frame.known_at >= AS_OF)).to_numpy()


def change(frame, hidden, rng, columns):
    """Change some columns of hidden rows to anything of their kind; times stay hidden."""
    frame = frame.copy()
    for column in columns:
        own = frame.loc[hidden, column]
        if column == "known_at":
            new = AS_OF + pd.to_timedelta(rng.integers(0, 400, len(own)), unit="D")
        elif column == "occurred_at":
            known_late = (frame.loc[hidden, "known_at"] >= AS_OF).to_numpy()
            anywhen = AS_OF + pd.to_timedelta(rng.integers(-400, 400, len(own)), unit="D")
            new = np.where(known_late, anywhen, np.maximum(anywhen, AS_OF))
        elif column == "customer_id":
            new = rng.choice(frame["customer_id"].to_numpy(), len(own))
        elif own.dtype.kind == "f":
            new = rng.normal(0, 1e6, len(own))
        elif own.dtype.kind == "M":
            new = AS_OF + pd.to_timedelta(rng.integers(-400, 400, len(own)), unit="D")
        else:
            new = rng.choice(
                np.array([*own.dropna().unique(), "new", None], dtype=object), len(own)
            )
        frame.loc[hidden, column] = pd.Series(new, index=own.index).astype(own.dtype)
    return frame


CHANGES = given(
    seed=st.integers(0, 10**9),
    table=st.sampled_from(EVENTS),
    column=st.sampled_from(["every", "customer_id", "occurred_at", "known_at", "one"]),
    drop=st.sampled_from([0.0, 0.5, 1.0]),
    add=st.booleans(),
)
"""What is changed: rows of a table that nobody knew before the date, in some or all columns."""


def assert_past_unmoved(records, seed, table, column, drop, add):
    """Change the future of a table, drop a part of it, add to it: no feature moves by a bit."""
    rng = np.random.default_rng(seed)
    frame, hidden = records.frames[table], records.hidden(table)
    columns = [c for c in frame.columns if c not in ("version", "replaced_at", "event_id")]
    if column != "every":
        columns = [column if column != "one" else rng.choice(columns)]
    changed = change(frame, hidden, rng, columns)
    stays = ~hidden | (rng.random(len(frame)) >= drop)
    parts = [changed[stays], changed[hidden]] if add else [changed[stays]]
    try:
        records.put(table, pd.concat(parts).sample(frac=1, random_state=seed % 1000))
        pd.testing.assert_frame_equal(records.features, records.run(), check_exact=True)
    finally:
        records.put(table, frame)
