"""A folder or glob of Parquet files is one source, partitioned or not."""

import pandas as pd
import pytest
from one_source import COLUMNS, open_sales, rows

from cxpredict.errors import ConfigError, DataError, EmptyDataError


def put(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"id": ["007"], "at": "2024-01-31", "amount": 1.5, **columns}).to_parquet(path)


@pytest.fixture
def lake(tmp_path):
    put(tmp_path / "lake" / "month=01" / "shop=x" / "a.parquet")
    put(tmp_path / "lake" / "month=02" / "shop=y" / "b.parquet", id=["8"], at="2024-02-01")
    (tmp_path / "lake" / "_SUCCESS").touch()
    put(tmp_path / "lake" / "_temporary" / "0" / "c.parquet", id=["half"])
    return tmp_path


def test_a_partitioned_folder_is_read_with_its_partitions_as_text(lake):
    columns = {**COLUMNS, "kind": "shop", "event_id": "month"}
    log = open_sales(lake, path="lake", columns=columns)
    found = rows(log).sort_values("customer_id")
    assert found.customer_id.tolist() == ["007", "8"]
    assert found.kind.tolist() == ["x", "y"]
    assert found.event_id.tolist() == ["01", "02"]


def test_a_glob_reads_what_it_names(lake):
    log = open_sales(lake, path="lake/month=*/**/*.parquet")
    assert log.quality.kept.tolist() == [2]
    assert open_sales(lake, path="lake/month=01/*/*.parquet").quality.kept.tolist() == [1]


def test_files_are_united_by_names_and_never_lose_an_id(tmp_path):
    put(tmp_path / "lake" / "a.parquet", id=[7], amount=[1])
    put(tmp_path / "lake" / "b.parquet", note="new")
    pd.read_parquet(tmp_path / "lake" / "b.parquet")[["note", "amount", "at", "id"]].to_parquet(
        tmp_path / "lake" / "b.parquet"
    )
    found = rows(open_sales(tmp_path, path="lake"))
    assert dict(zip(found.customer_id, found.amount, strict=True)) == {"7": 1.0, "007": 1.5}


@pytest.mark.parametrize("other", ["2024-07-01 12:00", "2024-07-01"])
def test_18_times_with_and_without_a_zone_are_not_united(tmp_path, other):
    # united, noon in Berlin (10:00 UTC) would be read as 12:00 UTC
    put(tmp_path / "lake" / "a.parquet", at=pd.to_datetime(["2024-07-01 12:00+00:00"]))
    log = open_sales(tmp_path, path="lake", timezone="Europe/Berlin")
    assert rows(log).occurred_at.tolist() == [pd.Timestamp("2024-07-01 12:00")]
    put(tmp_path / "lake" / "b.parquet", at=pd.to_datetime([other]))
    with pytest.raises(DataError, match="the times in at have a zone in some files and none"):
        open_sales(tmp_path, path="lake", timezone="Europe/Berlin")


def test_a_file_that_lacks_a_required_column_loses_no_row_silently(tmp_path):
    put(tmp_path / "lake" / "a.parquet")
    pd.DataFrame({"id": ["b"], "at": "2024-01-31"}).to_parquet(tmp_path / "lake" / "b.parquet")
    log = open_sales(tmp_path, path="lake")
    assert log.rules.rule.tolist() == ["amount: is missing"]
    assert log.rules.rows.tolist() == [1]


def test_the_digest_is_of_the_files_and_their_places(lake):
    first = open_sales(lake, path="lake").inputs
    assert list(first) == ["lake"]
    (lake / "lake" / "_SUCCESS").write_text("again")
    assert open_sales(lake, path="lake").inputs == first
    (lake / "lake" / "month=02").rename(lake / "lake" / "month=03")
    moved = open_sales(lake, path="lake").inputs
    put(lake / "lake" / "month=03" / "shop=y" / "b.parquet", id=["9"])
    assert (
        len({*first.values(), *moved.values(), *open_sales(lake, path="lake").inputs.values()}) == 3
    )


def test_a_folder_without_parquet_is_empty_and_other_files_are_refused(tmp_path):
    (tmp_path / "lake").mkdir()
    for path in ("lake", "lake/*.parquet"):
        with pytest.raises(EmptyDataError, match="no Parquet file there"):
            open_sales(tmp_path, path=path)
    (tmp_path / "lake" / "a.csv").write_text("id,at,amount\n")
    with pytest.raises(DataError, match=r"only Parquet files can be read together; found 'a\.csv'"):
        open_sales(tmp_path, path="lake/*")
    put(tmp_path / "lake" / "x=1" / "a.parquet")
    put(tmp_path / "lake" / "b.parquet")
    with pytest.raises(DataError, match="lake: cannot be read"):
        open_sales(tmp_path, path="lake")
    (tmp_path / "lake" / "b.parquet").write_bytes(b"jane@example.org")
    with pytest.raises(DataError, match="cannot be read") as raised:
        open_sales(tmp_path, path="lake")
    assert "jane" not in str(raised.value)


@pytest.mark.parametrize("name", ["a[1].parquet", "a*.parquet", "a b.parquet", "it's.parquet"])
def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path, name):
    put(tmp_path / name)
    put(tmp_path / "a1.parquet", id=["other"])
    assert rows(open_sales(tmp_path, path=name)).customer_id.tolist() == ["007"]


def test_a_url_is_given_to_the_engine_and_its_secret_to_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("LAKE", "nowhere://hush/sales.parquet")
    with pytest.raises(DataError, match=r"\$\{LAKE\}: cannot be read") as raised:
        open_sales(tmp_path, path="${LAKE}")
    assert "hush" not in str(raised.value)
    with pytest.raises(ConfigError, match="variable ABSENT is not set"):
        open_sales(tmp_path, path="s3://${ABSENT}/sales.parquet")
