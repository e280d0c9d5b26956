"""Ten thousand mutated tables, configurations and paths through the real command line.

Nine of ten go through ``cxpredict check``, the others through ``cxpredict score`` on a small
trained model. Hypothesis draws what is mutated and how; every case has ten seconds.
"""

import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import yaml
from command_line import cxpredict
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from people import people, train_flat

CASES = 10_000
SECONDS = 10.0
WORKERS = 2
SILENT = "rows do not add up"

TEXTS = [
    "", " ", "canary", "007", "NA", "nan", "1e400", "-1", "11", "1,5", "9" * 40, "=1+1", "\x00",
    "2024-02-30", "2024-03-31 02:30", "31/01/2024", "1706659200000", "0001-01-01", "9999-12-31",
    "2024-01-31T10:00+99:00", "<script>", '"', "'", ";", "\n", "\ufeff", "e\u0301", "\ud7ff", "inf",
    "1_000", "0x10", "TRUE", "${HOME}", "../..", "[bold]", "\u202e",
]  # fmt: skip
PATHS = [
    "", ".", "..", "/", "/dev/null", "/proc/self/mem", "a\x00b", "x" * 5_000, "*", "**/*", "[",
    "***", "sales.csv/", "absent.csv", "s3://b/x", "sqlite://sales.csv", "~", "${HOME}",
    "${ABSENT}", "../../../etc/passwd", "file:///etc/passwd", "folder", "http://[x", "\u202e",
]  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(TEXTS),
    st.text(max_size=8),
)
HEADER = ["id", "at", "amount", "kind"]
GOOD = [["canary-1", "2024-01-31", "1.5", "sale"], ["canary-2", "2024-02-01 10:00", "2", "sale"]]


def base_config():
    """Give the content of a right configuration."""
    return {
        "name": "shop",
        "sources": {
            "sales": {
                "path": "sales.csv",
                "table": "transactions",
                "timezone": "Europe/Berlin",
                "columns": {
                    "customer_id": "id",
                    "occurred_at": "at",
                    "amount": "amount",
                    "kind": "kind",
                },
            }
        },
        "problems": {"churn": {"inactive": "sale", "horizon_days": 30}},
        "split": {"test_at": "2024-06-01", "every_days": 30},
        "bands": {"churn": {"medium": 0.1, "high": 0.3}},
        "max_reject_share": 1.0,
        "random_state": 7,
    }


def write_config(folder, content, text=None):
    text = yaml.safe_dump(content, sort_keys=False) if text is None else text
    text = text.replace("'2024-06-01'", "2024-06-01")
    path = folder / "shop.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return path


cells = st.one_of(
    st.sampled_from(TEXTS), st.text(max_size=12), st.integers().map(str), st.floats().map(repr)
)
rows = st.lists(
    st.one_of(st.sampled_from(GOOD), st.lists(cells, min_size=4, max_size=4)), max_size=12
)


@st.composite
def byte_tables(draw):
    """Draw a CSV file in which some bytes are others, are gone or have come."""
    raw = bytearray(pd.DataFrame(GOOD * 3, columns=HEADER).to_csv(index=False).encode())
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(raw)))
        new = draw(
            st.one_of(st.binary(max_size=3), cells.map(lambda t: t.encode("utf-8", "replace")))
        )
        raw[at : at + draw(st.integers(0, 4))] = new
    source = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "encoding": st.sampled_from(["utf-8", "utf-16", "latin-1"]),
                "delimiter": st.sampled_from([",", ";", "\t", '"', "\n", "a"]),
                "decimal": st.sampled_from([".", ","]),
                "time_format": st.sampled_from(["%d/%m/%Y", "%Q", "", "%Y-%m-%d %z"]),
            },
        )
    )
    return {"kind": "bytes", "csv": bytes(raw), "source": source}


@st.composite
def value_tables(draw):
    """Draw a well-formed file, CSV or Parquet, of values that are not."""
    table = draw(rows)
    source = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "drop_duplicate_rows": st.booleans(),
                "clock_change": st.sampled_from(["reject", "earlier", "later"]),
                "timezone": st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo"]),
                "delay_hours": st.sampled_from([0.0, 1e3, 1e9]),
                "where": st.sampled_from(["amount = '1'", "1 = 1", "kind", "1 / 0 > 1"]),
            },
        )
    )
    if draw(st.booleans()):
        return {"kind": "values", "rows": table, "source": source}
    columns = {
        name: draw(
            st.sampled_from(
                [
                    [row[i] for row in table],
                    [len(row[i]) for row in table],
                    [None for _ in table],
                    [float(len(row[i])) or float("inf") for row in table],
                    [pd.Timestamp("2024-01-31") for _ in table],
                    [True for _ in table],
                    [[1] for _ in table],
                    [row[i].encode("utf-8", "replace") for row in table],
                ]
            )
        )
        for i, name in enumerate(HEADER)
    }
    return {"kind": "parquet", "columns": columns, "source": source}


def _places(content, path=()):
    yield path
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _places(value, (*path, key))


@st.composite
def configs(draw):
    """Draw a configuration with other values, keys gone or come, or other bytes."""
    content = base_config()
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from([p for p in _places(content) if p]))
        holder = content
        for key in place[:-1]:
            holder = holder[key]
        how = draw(st.sampled_from(["set", "drop", "rename", "nest"]))
        old = holder.pop(place[-1])
        if how == "set":
            holder[place[-1]] = draw(SCALARS)
        elif how == "rename":
            holder[draw(st.text(max_size=8))] = old
        elif how == "nest":
            holder[place[-1]] = draw(st.sampled_from([{"x": old}, [old], [], {}]))
    if draw(st.booleans()):
        return {"kind": "config", "content": content}
    text = yaml.safe_dump(content)
    at = draw(st.integers(0, len(text)))
    new = draw(
        st.sampled_from([*TEXTS[3:], "!!python/name:os.system", "&a [*a]", "? [a]: b", "\t", "---"])
    )
    return {"kind": "config", "text": text[:at] + new + text[at + draw(st.integers(0, 3)) :]}


@st.composite
def paths(draw):
    """Draw a configuration whose paths and addresses lead elsewhere."""
    content = base_config()
    source = content["sources"]["sales"]
    strange = st.one_of(st.sampled_from(PATHS), st.text(max_size=20))
    how = draw(st.sampled_from(["path", "join", "connect", "artifacts", "spill", "config"]))
    if how == "path":
        source["path"] = draw(strange)
    elif how == "join":
        source["join"] = [{"path": draw(strange), "on": draw(st.sampled_from(["id", "", "x"]))}]
    elif how == "connect":
        del source["path"]
        source["connect"] = draw(st.sampled_from(["sqlite://", "duckdb://", ""])) + draw(strange)
        source["database_table"] = draw(strange)
    elif how == "artifacts":
        content["artifacts"] = draw(strange)
    elif how == "spill":
        content["engine"] = {"spill_directory": draw(strange)}
    else:
        return {"kind": "config path", "path": draw(strange)}
    return {"kind": "paths", "content": content}


@st.composite
def scorings(draw):
    """Draw a table to score that differs from the one learnt from."""
    changes = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["drop", "rename", "text", "gap", "inf", "new", "twice", "ids"]),
                st.sampled_from(["plan", "calls", "fee"]),
                st.integers(0, 49),
            ),
            min_size=1,
            max_size=4,
        )
    )
    as_of = draw(st.sampled_from(["2024-01-01"] * 4 + ["2024-13-01", "", "2093-01-01"]))
    return {"kind": "score", "changes": changes, "as_of": as_of}


checked = st.one_of(byte_tables(), value_tables(), value_tables(), configs(), paths())
CASE = st.integers(0, 9).flatmap(lambda die: scorings() if die == 0 else checked)


def run_case(case, folder, trained):
    """Run one case in an empty folder; the faults found, as a list, and the exit code."""
    if case["kind"] == "score":
        return _run_scoring(case, folder, trained)
    (folder / "folder").mkdir()
    content, expected = base_config(), None
    if case["kind"] == "bytes":
        (folder / "sales.csv").write_bytes(case["csv"])
    else:
        table = pd.DataFrame(case.get("rows", GOOD), columns=HEADER)
        table.to_csv(folder / "sales.csv", index=False, errors="replace")
    content["sources"]["sales"] |= case.get("source", {})
    if case["kind"] == "parquet":
        pd.DataFrame(case["columns"]).to_parquet(folder / "sales.parquet")
        content["sources"]["sales"]["path"] = "sales.parquet"
        expected = len(case["columns"]["id"])
    path = write_config(folder, case.get("content", content), case.get("text"))
    done = cxpredict("check", case.get("path", path))
    faults = _unexpected(done)
    if done.code == 0 and "where" not in case.get("source", {}):
        counts = _counts(done.out)
        if (
            counts is None
            or counts[0] != sum(counts[1:4])
            or (expected is not None and counts[0] != expected)
        ):
            faults.append(SILENT)
    if done.code not in (0, 2, 3, 6, 7, 8):
        faults.append(f"exit code {done.code}")
    return faults, done.code


def _unexpected(done):
    """Name what must not be said; of an internal error also its kind and place."""
    where = done.said.partition("internal error: ")[2]
    return [f"{fault} {where}".strip() for fault in done.faults]


def _counts(out):
    """Read how many rows were read, dropped, rejected and kept from the table of records."""
    for line in out.splitlines():
        found = [cell.strip().replace(",", "") for cell in line.split("│")[1:-1]]
        if len(found) == 7 and all(cell.isdigit() for cell in found[2:]):
            return [int(cell) for cell in found[2:]]
    return None


def _run_scoring(case, folder, trained):
    frame = people(60).drop(columns="left").assign(left=0.0)
    frame.loc[:9, "left"] = 1.0
    for how, column, row in case["changes"]:
        if column in frame:
            frame = _changed(frame, how, column, row)
    config = folder / "flat.yaml"
    config.write_text(
        (trained / "flat.yaml").read_text() + f"\nartifacts: {trained / 'artifacts'}\n"
    )
    frame.to_parquet(folder / "people.parquet")
    out = folder / "scores"
    model = ["--model", "models:/flat-churn@champion", "--as-of", case["as_of"], "--out", out]
    done = cxpredict("score", "--config", config, *model)
    faults = _unexpected(done)
    if done.code not in (0, 2, 3, 5, 7, 8):
        faults.append(f"exit code {done.code}")
    if done.code == 0:
        faults += _uncounted(frame, next(out.iterdir()))
    return faults, done.code


def _changed(frame, how, column, row):
    if how == "drop":
        return frame.drop(columns=column)
    if how == "rename":
        return frame.rename(columns={column: f"{column}s"})
    if how == "twice":
        return pd.concat([frame, frame.iloc[[row]].assign(left=0.0)], ignore_index=True)
    if how == "ids":
        ids = frame["id"].mask(frame.index == row, TEXTS[row % len(TEXTS)])
        return frame.assign(id=ids)
    value = {"text": "canary text", "gap": None, "inf": float("inf"), "new": -1e9}[how]
    values = frame[column].astype(object)
    values[row] = value
    text = [v for v in values if isinstance(v, str)]
    values = values.map(lambda v: v if v is None else str(v)) if text else values.astype(float)
    return frame.assign(**{column: values})


def _uncounted(frame, folder):
    """Hold the rows of the table against those scored, rejected, dropped and not active."""
    rows = json.loads((folder / "manifest.json").read_text())["rows"]
    source = rows["sources"][0]
    scores = pq.read_table(folder / "scores.parquet").to_pandas()
    rejected = pq.read_table(folder / "rejects.parquet").num_rows
    kept = frame.drop_duplicates()
    whole = source["read"] == len(frame) == source["kept"] + source["duplicates"] + rejected
    gone = int((kept["left"] == 1).sum())
    bounds = source["kept"] - gone <= len(scores) <= source["kept"]
    finite = scores["churn_probability"].between(0, 1).all()
    unique = scores["customer_id"].is_unique
    return [] if whole and bounds and finite and unique else [SILENT]


def work(number, cases, trained, started, results):
    """Run cases one after the other and tell of each what was found."""
    parent = os.getppid()
    os.environ["OMP_NUM_THREADS"] = "1"
    warm = {"kind": "values", "rows": GOOD}
    with tempfile.TemporaryDirectory() as place:
        run_case(warm, Path(place), trained)  # imports count for no case

    @seed(number)
    @settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(CASE)
    def each(case):
        if os.getppid() != parent:  # commands under test take SIGTERM for themselves
            os._exit(1)
        folder = Path(tempfile.mkdtemp(prefix="faults"))
        try:
            results.put(repr(case)[:2_000])
            started.value = began = time.monotonic()
            found, code = _guarded(case, folder, trained)
            results.put((case["kind"], code, time.monotonic() - began, found))
        finally:
            started.value = 0.0
            shutil.rmtree(folder, ignore_errors=True)

    each()
    results.put(None)


def _guarded(case, folder, trained):
    try:
        return run_case(case, folder, trained)
    except Exception as error:  # an error of the command line that it did not catch itself
        return [f"raised {type(error).__name__}: {error}"], None


class Worker:
    """A process that works through cases, and is ended when one of them takes too long."""

    def __init__(self, number, cases, trained):
        context = multiprocessing.get_context("spawn")
        self.started, self.results = context.Value("d", 0.0), context.Queue()
        arguments = (number, cases, trained, self.started, self.results)
        self.process = context.Process(target=work, args=arguments, daemon=True)
        self.number, self.left, self.trained = number, cases, trained
        self.case = ""
        self.process.start()

    @property
    def hangs(self):
        """Whether the case at work has had its time, more of it where others use the machine."""
        began, crowd = self.started.value, os.getloadavg()[0] / (os.cpu_count() or 1)
        return began > 0 and time.monotonic() - began > SECONDS * max(crowd, 1.0)

    def end(self):
        """Stop the process."""
        self.process.kill()
        self.process.join()


class Tally:
    """What was found: kind, exit code and seconds of each case, faults, a few examples."""

    def __init__(self):
        self.cases, self.faults, self.examples, self.told = [], Counter(), [], 0

    def collect(self, worker):
        """Take what a worker has told since the last time."""
        while not worker.results.empty():
            result = worker.results.get()
            if result is None:
                worker.left = 0
            elif isinstance(result, str):
                worker.case = result
            else:
                *case, found = result
                worker.left -= 1
                self.cases.append(case)
                self.blame(found, worker.case)

    def blame(self, found, case):
        """Note faults of a case."""
        self.faults.update(found)
        if found and len(self.examples) < 20:
            self.examples.append((found, case))

    def tell(self, every):
        """Print how far it is, now and then."""
        if len(self.cases) // every > self.told:
            self.told = len(self.cases) // every
            print(f"{len(self.cases):,} cases: faults {dict(self.faults)}", flush=True)

    def table(self):
        """Count cases, exit codes and seconds by kind."""
        frame = pd.DataFrame(self.cases, columns=["kind", "code", "seconds"])
        codes = pd.crosstab(frame["kind"], frame["code"].astype(str).radd("exit "))
        seconds = frame.groupby("kind")["seconds"].agg(["count", "median", "max"]).round(2)
        return seconds.rename(columns={"count": "cases"}).join(codes)

    @property
    def scored(self):
        """Share of the `score` cases that really scored: exit code 0, no short cut."""
        codes = [code for kind, code, _ in self.cases if kind == "score"]
        return codes.count(0) / max(len(codes), 1)


def measure(cases, workers=WORKERS):
    """Run cases in worker processes."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as place:
        trained = train_flat(Path(place))
        running = [Worker(n, cases // workers, trained) for n in range(workers)]
        while running:
            running = [w for worker in running if (w := _watched(worker, tally)) is not None]
            tally.tell(every=500)
            time.sleep(0.05)
    return tally


def _watched(worker, tally):
    """Look after a worker: give it, its successor if a case ended it, or None when it is done."""
    tally.collect(worker)
    if worker.left <= 0:
        worker.process.join(30)
        return None
    if not worker.hangs and worker.process.is_alive():
        return worker
    what = "hangs" if worker.hangs else "killed the process"
    worker.end()
    tally.collect(worker)
    tally.blame([what], worker.case)
    left = worker.left - 1
    return Worker(worker.number + 1_000, left, worker.trained) if left > 0 else None


def bars(scale=1.0):
    """Yield the bars of this part."""
    cases = max(int(CASES * scale), 40)
    tally = measure(cases)
    faults, tried = tally.faults, len(tally.cases)
    print(tally.table().to_string())
    for found, case in tally.examples:
        print("FAULT", found, case)
    silent, hangs = faults.pop(SILENT, 0), faults.pop("hangs", 0)
    results = {
        "mutated inputs tried": (tried, f">= {int(cases * 0.9)}", tried >= cases * 0.9),
        "tracebacks and internal errors": (sum(faults.values()), "0", not faults),
        "hangs over 10 s": (hangs, "0", hangs == 0),
        "silently wrong (rows do not add up)": (silent, "0", silent == 0),
        "share of score cases that score": (round(tally.scored, 3), ">= 0.3", tally.scored >= 0.3),
    }
    for name, (value, bound, holds) in results.items():
        yield {"name": name, "value": value, "bound": bound, "holds": bool(holds)}
