"""A table of a database is a source like a file: same checks, same rejects, never written to."""

import sqlite3

import duckdb
import pytest
from one_source import COLUMNS, open_sales, rows, run_of

from cxpredict.config import parse_config
from cxpredict.config.sources import Source
from cxpredict.data.addresses import fill_variables
from cxpredict.errors import ConfigError, DataError, RejectShareError

SALES = [
    ("007", "2024-01-31", 9.5),
    ("9007199254740993", "2024-02-01 10:00", 0.1 + 0.2),
    ("NA", "2024-02-02", 3),
    (None, "2024-02-02", 3),
    ("b", "soon", 3),
    ("c", "2024-02-03", "x"),
]
KEPT = {"007": 9.5, "9007199254740993": 0.1 + 0.2, "NA": 3.0}
PLACE = {"connect": "sqlite://shop.db", "database_table": "sales"}


def sqlite(folder, sales=SALES, declared="id TEXT, at TEXT, amount REAL"):
    with sqlite3.connect(folder / "shop.db") as database:
        database.execute("DROP TABLE IF EXISTS sales")
        database.execute(f"CREATE TABLE sales ({declared})")
        database.executemany("INSERT INTO sales VALUES (?, ?, ?)", sales)
    database.close()


def duck(folder, sales=SALES):
    with duckdb.connect(folder / "shop.duckdb") as database:
        database.execute("CREATE SCHEMA crm")
        database.execute('CREATE TABLE crm.sales (id TEXT, "at" TEXT, amount TEXT)')
        database.executemany("INSERT INTO crm.sales VALUES (?, ?, ?)", sales)


def databases(folder):
    sqlite(folder)
    duck(folder)
    return [PLACE, {"connect": "duckdb://shop.duckdb", "database_table": "crm.sales"}]


def test_both_databases_get_the_checks_and_the_rejects_of_a_file(tmp_path):
    for place in databases(tmp_path):
        log = open_sales(tmp_path, **place)
        assert rows(log).set_index("customer_id").amount.to_dict() == KEPT
        assert sorted(log.rules.rule) == [
            "amount: is not a number",
            "customer_id: is missing",
            "occurred_at: is not a time (ISO 8601; set time_format)",
        ]
        counts = log.quality.iloc[0]
        assert counts.read == counts.kept + counts.duplicates + counts.rejected == 6
        with pytest.raises(RejectShareError) as raised:
            open_sales(tmp_path, **place, limit=0.01)
        assert "soon" not in str(raised.value)


def test_a_view_and_a_joined_table_of_another_place_are_read(tmp_path):
    sqlite(tmp_path, [("a", "2024-01-31", 2)])
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE VIEW recent AS SELECT *, 'x' AS item FROM sales")
    database.close()
    with duckdb.connect(tmp_path / "prices.duckdb") as prices:
        prices.execute("CREATE TABLE prices AS SELECT 'x' AS item, 2.5 AS price")
    join = {"connect": "duckdb://prices.duckdb", "database_table": "prices", "on": "item"}
    amount = {"expression": "CAST(amount AS DOUBLE) * price"}
    log = open_sales(
        tmp_path,
        connect="sqlite://shop.db",
        database_table="recent",
        join=[join],
        columns={**COLUMNS, "amount": amount},
    )
    assert rows(log).amount.tolist() == [5.0]
    assert sorted(log.inputs) == ["duckdb://prices.duckdb prices", "sqlite://shop.db recent"]


def test_what_a_column_of_sqlite_declares_is_not_believed(tmp_path):
    sales = [("1", "2024-01-31", 2), ("2", 1_706_659_200, "much"), (None, "2024-02-31 25:00", 1)]
    sqlite(tmp_path, sales, "id BIGINT, at TIMESTAMP, amount DECIMAL(10, 2)")
    log = open_sales(tmp_path, **PLACE)
    assert rows(log).amount.tolist() == [2.0]
    assert log.quality[["read", "kept", "rejected"]].iloc[0].tolist() == [3, 1, 2]


def test_a_large_id_beside_a_gap_keeps_its_last_digit(tmp_path):
    sqlite(tmp_path, [(2**53 + 1, "2024-01-31", 1), (None, "2024-01-31", 1)], "id INT, at, amount")
    assert rows(open_sales(tmp_path, **PLACE)).customer_id.tolist() == ["9007199254740993"]


def test_an_id_stored_as_a_number_with_a_point_is_that_number(tmp_path):
    # a column of whole numbers with a gap, as pandas writes it; 2^53 has lost its neighbour
    ids = [7.0, None, 2.0**53, 1e16]
    sqlite(tmp_path, [(n, "2024-02-01", 3.0) for n in ids], "id REAL, at TEXT, amount REAL")
    log = open_sales(tmp_path, **PLACE)
    assert rows(log)[["customer_id", "amount"]].values.tolist() == [["7", 3.0]]
    rules = log.rules.set_index("rule")["rows"].to_dict()
    lost = "customer_id: digits lost: an id in scientific notation"
    assert rules == {"customer_id: is missing": 1, lost: 2}


@pytest.mark.parametrize(
    ("sql", "read"),
    [("'a'::ENUM ('a', 'b')", "a"), ("9007199254740993::DECIMAL(38, 0)", "9007199254740993")],
)
def test_exact_types_of_a_database_give_their_ids(tmp_path, sql, read):
    with duckdb.connect(tmp_path / "shop.duckdb") as database:
        database.execute(f"CREATE TABLE sales AS SELECT {sql} AS id, '2024-02-01' \"at\", 3 amount")
    log = open_sales(tmp_path, connect="duckdb://shop.duckdb", database_table="sales")
    assert rows(log).customer_id.tolist() == [read]


def test_the_digest_is_of_the_rows_whatever_their_order(tmp_path):
    digests = []
    changed = [*SALES[:-1], ("c", "2024-02-03", "y")]
    for sales in (SALES, SALES[::-1], changed, [*SALES, SALES[0]]):
        sqlite(tmp_path, sales)
        log = open_sales(tmp_path, **PLACE)
        digests.append(log.inputs["sqlite://shop.db sales"])
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    sqlite(tmp_path, SALES)
    rejects = open_sales(tmp_path, **PLACE).rejects.to_pandas()
    sqlite(tmp_path, SALES[::-1])
    assert open_sales(tmp_path, **PLACE).rejects.to_pandas().equals(rejects)


def test_an_empty_table_is_typed(tmp_path):
    sqlite(tmp_path, [])
    log = open_sales(tmp_path, **PLACE)
    assert str(rows(log).dtypes["occurred_at"]) == "datetime64[us]"


def test_nothing_is_written_to_a_database_and_none_is_made(tmp_path):
    places = databases(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for place in places:
        open_sales(tmp_path, **place)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    for kind in ("sqlite", "duckdb"):
        with pytest.raises(DataError, match=r"other.db: no such file; two slashes"):
            open_sales(tmp_path, connect=f"{kind}:///other.db", database_table="sales")
    assert not (tmp_path / "other.db").exists()


def test_an_absent_table_a_wrong_file_and_a_wrong_kind_are_named(tmp_path):
    databases(tmp_path)
    with pytest.raises(DataError, match="no table 'sale', did you mean 'sales'"):
        open_sales(tmp_path, connect="sqlite://shop.db", database_table="sale")
    (tmp_path / "noise.db").write_bytes(b"jane@example.org" * 100)
    for kind in ("sqlite", "duckdb"):
        with pytest.raises(DataError, match="cannot be read") as raised:
            open_sales(tmp_path, connect=f"{kind}://noise.db", database_table="sales")
        assert "jane" not in str(raised.value)
    with pytest.raises(ConfigError, match="did you mean 'sqlite'"):
        open_sales(tmp_path, connect="sqlit://shop.db", database_table="sales")


def test_a_row_that_cannot_be_read_shows_no_value(tmp_path):
    sqlite(tmp_path, [("jane", "2024-01-31", b"\xff\xfe")])
    with pytest.raises(DataError, match="cannot be read") as raised:
        open_sales(tmp_path, **PLACE)
    assert "jane" not in str(raised.value)
    sqlite(tmp_path, [("jane", "2024-01-31", 1)])
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("UPDATE sales SET id = CAST(x'ff' AS TEXT)")
    database.close()
    with pytest.raises(DataError, match="cannot be read"):
        open_sales(tmp_path, **PLACE)


def test_a_secret_comes_from_the_environment_and_goes_nowhere(tmp_path, monkeypatch):
    config = {"connect": "postgres://reader:${SHOP_PW}@127.0.0.1:1/x", "database_table": "sales"}
    with pytest.raises(ConfigError, match="environment variable SHOP_PW is not set"):
        open_sales(tmp_path, **config)
    monkeypatch.setenv("SHOP_PW", "hush/hush@1")
    with pytest.raises((ConfigError, DataError)) as raised:
        open_sales(tmp_path, **config)
    assert "hush" not in str(raised.value)
    assert raised.value.__cause__ is None
    sales = {"table": "transactions", "timezone": "UTC", "columns": COLUMNS, **config}
    settings = parse_config(run_of({"sales": sales}), directory=tmp_path)
    assert "hush" not in settings.model_dump_json()
    assert fill_variables(config["connect"], "connect").count("hush%2Fhush%401") == 1


def test_a_variable_may_hold_the_whole_address(tmp_path, monkeypatch):
    sqlite(tmp_path)
    monkeypatch.setenv("SHOP", f"sqlite://{tmp_path}/shop.db")
    log = open_sales(tmp_path, connect="${SHOP}", database_table="sales")
    assert log.quality.kept.tolist() == [3]
    assert list(log.inputs) == ["${SHOP} sales"]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({"connect": "postgres://reader:hush@host/x"}, "a secret stands in the URL"),
        ({"connect": "postgres://reader:hush#/1@host/x"}, "a secret stands in the URL"),
        ({"connect": "mysql://host/x?password=hush"}, "a secret stands in the URL"),
        ({"connect": "postgres://reader:hush@[host/x"}, "a secret stands in the URL"),
        ({"connect": "hush"}, "must be a URL"),
        ({"connect": None, "database_table": None}, "exactly one of 'path' and 'connect'"),
        ({"path": "hush.csv"}, "exactly one of 'path' and 'connect'"),
        ({"database_table": None}, "go together"),
        ({"path": "s3://u:hush@b/x", "connect": None, "database_table": None}, "a secret stands"),
    ],
)
def test_a_place_is_told_in_one_way_and_without_secrets(tmp_path, place, expected):
    sales = {"table": "transactions", "timezone": "UTC", "columns": COLUMNS, **PLACE, **place}
    with pytest.raises(ConfigError, match=expected) as raised:
        parse_config(run_of({"sales": sales}), directory=tmp_path)
    assert "hush" not in str(raised.value)
    assert Source(**{**sales, **PLACE, "path": None}).label == "sqlite://shop.db sales"
