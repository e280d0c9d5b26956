"""A canary in every personal field, and a search of every byte that any command leaves behind.

Fields: customer id, agent id, event id, comment (a word, a name, an address, a number in each),
an attribute and a segment of one customer, birth days. Ids of customers at risk stand in the
scores, the rejects and two pages by design: these files are listed here, and counted apart.
"""

import base64
import contextlib
import io
import re
import shutil
import sqlite3
import tempfile
import warnings
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from command_line import cxpredict
from company_files import company_config, company_tables, write_company

import cxpredict as cx

MARK = "zqxkw"
"""Every canary begins so; the letter after it names its field."""
FIELDS = {"i": "id", "a": "agent", "e": "event", "w": "word in a comment", "n": "name in a comment",
          "m": "address in a comment", "v": "attribute of one customer", "s": "segment of one",
          "c": "city of five customers", "q": "attribute's own id"}  # fmt: skip
BY_DESIGN = {
    "scores.parquet": "i",
    "scores.csv": "i",
    "scores.html": "i",
    "report.html": "i",
    "rejects.parquet": "iaewnmvscq",
    "columns.json": "c",
}
"""Files that hold customers' data because that is what they are for, and which fields.

A model needs the levels of its categories to read new rows: it keeps those of two customers on.
"""
SCORED = "2025-09-30"
MODEL = "models:/small-churn@champion"


def canary(field, number):
    """Make a word of letters only that stands for one value of a field."""
    letters = ""
    for _ in range(4):
        number, digit = divmod(number, 20)
        letters += "bcdfghjklmnprstvwxyz"[digit]
    return f"{MARK}{field}{letters}"


def marked_company(n_customers):
    """Give tables and configuration of a company with a canary in every personal field."""
    tables = company_tables(n_customers)
    ids = {c: canary("i", n) for n, c in enumerate(tables["customers"]["customer_id"])}
    for frame in tables.values():
        frame["customer_id"] = frame["customer_id"].map(ids)
        if "event_id" in frame:
            frame["event_id"] = [canary("e", n) for n in range(len(frame))]
    agents = tables["interactions"]["agent_id"]
    known = {agent: canary("a", n) for n, agent in enumerate(sorted(agents.dropna().unique()))}
    tables["interactions"]["agent_id"] = agents.map(known)
    comments = tables["feedback"]["comment"]
    said = comments[comments.notna()]
    tables["feedback"].loc[said.index, "comment"] = [
        f"{text} My name is {canary('n', n).title()}, mail {canary('m', n)}@example.org or call "
        f"+49 170 {n + 1_000_000}. {canary('w', n)}"
        for n, text in enumerate(said)
    ]
    customers = tables["customers"]
    customers.loc[3, "region"] = canary("v", 3)
    customers.loc[5, "segment"] = canary("s", 5)
    customers["city"] = [f"city {n % 7}" for n in range(len(customers))]
    customers.loc[:39, "city"] = [canary("c", n // 5) for n in range(40)]
    customers["contract"] = [canary("q", n) for n in range(len(customers))]
    config = company_config(
        tables,
        lambda slot, name: name,
        comments={"codebook": {"price": ["price*", "expensive"], "waiting": ["wait*", "slow"]}},
        features={"windows_days": [30], "exclude": ["contract"]},
        gate={"segments": ["segment", "region"]},
        monitor={},
        max_reject_share=0.2,
    )
    return tables, config


def live(folder, n_customers):
    """Run the life of a model; all that it said, by command."""
    tables, config = marked_company(n_customers)
    broken = tables["feedback"].sample(20, random_state=1).assign(score=99.0)
    tables["feedback"] = pd.concat([tables["feedback"], broken], ignore_index=True)
    path = write_company(folder, tables, config)
    out, page = folder / "scores", folder / "page"
    scoring = ["score", "--config", path, "--model", MODEL, "--as-of", SCORED]
    scores = out / f"as_of={SCORED}"
    watching = ["monitor", "--config", path, "--model", MODEL, "--scores", scores]
    commands = {
        "check": ["check", path],
        "train": ["train", path],
        "score": [*scoring, "--out", out, "--reasons", "all"],
        "score csv": [*scoring, "--out", folder / "csv", "--format", "csv", "--json"],
        "report": ["report", scores, "--out", page],
        "monitor": watching,
        "monitor json": [*watching, "--json"],
    }  # fmt: skip
    said = {name: cxpredict(*arguments) for name, arguments in commands.items()}
    for name, done in said.items():
        assert done.code in (0, 9, 10), (name, done.said[-600:])
    said |= fail(folder, tables, config, path)
    said["exceptions"] = raised(path, tables)
    said["erase"] = cxpredict("erase", "--config", path, "--customer", canary("i", 9))
    return {name: d if isinstance(d, str) else d.out + d.err for name, d in said.items()}


def fail(folder, tables, config, good):
    """Run commands that fail on customers' data; all that they said, by what is wrong."""
    wrong = {
        "text for a number": ("transactions", {"amount": "amount"}, lambda f: f.assign(
            amount=[canary("v", n) for n in range(len(f))])),
        "no times": ("feedback", {}, lambda f: f.assign(
            occurred_at=[canary("w", n) for n in range(len(f))])),
        "duplicate customers": ("customers", {}, lambda f: pd.concat([f, f.assign(region="x")])),
        "an id as attribute": ("customers", {"id column": True}, lambda f: f),
        "comments as kinds": ("interactions", {}, lambda f: f.assign(
            kind=[canary("w", n) for n in range(len(f))])),
        "unknown segment": ("customers", {"segments": [canary("v", 3)]}, lambda f: f),
        "an expression that fails": ("transactions", {"expression": "CAST(customer_id AS DOUBLE)"},
                                     lambda f: f),
        "a condition that fails": ("interactions", {"where": "CAST(agent_id AS INT) > 1"},
                                   lambda f: f),
    }  # fmt: skip
    said = {}
    for number, (name, (table, how, change)) in enumerate(wrong.items()):
        place = folder / f"wrong{number}"
        place.mkdir()
        content = yaml.safe_load(yaml.safe_dump(config))
        if "id column" in how:
            content["features"] = {"windows_days": [30]}
        if "segments" in how:
            content["gate"] = {"segments": how["segments"]}
        if "expression" in how:
            content["sources"][table]["columns"]["amount"] = {"expression": how["expression"]}
        if "where" in how:
            content["sources"][table]["where"] = how["where"]
        path = write_company(place, {**tables, table: change(tables[table])}, content)
        said[name] = cxpredict("check", path)
        if "id column" in how:
            said[name + ", trained"] = cxpredict("train", path)
    absent = ["--config", good, "--model", MODEL]
    said["far date"] = cxpredict("score", *absent, "--as-of", "2033-01-01")
    said["no folder"] = cxpredict("report", folder / "absent")
    said["a customer who is not there"] = cxpredict(
        "erase", "--config", good, "--customer", canary("i", 99_999)
    )
    return said


def raised(path, tables):
    """Call the library with what it refuses; the texts of its errors, causes apart."""
    from cxpredict.errors import CxPredictError

    log = cx.CustomerLog.open(path)
    bundle = cx.load_bundle(MODEL, artifacts=path.parent / "artifacts")
    said = []
    calls = [
        lambda: cx.score_one(bundle, log, canary("i", 88_888), SCORED),
        lambda: cx.score_one(bundle, log, canary("i", 3), "2033-01-01"),
        lambda: cx.nps(tables["feedback"]["comment"]),
        lambda: cx.ChurnModel().fit(tables["customers"][["contract"]], pd.Series([0, 1] * 5)),
    ]
    for call in calls:
        try:
            call()
        except (CxPredictError, TypeError, ValueError) as error:
            said.append(f"{type(error).__name__}: {error}")
    return "\n".join(said)


def search(folder, inputs):
    """Count canaries by file and field in every file that is no input."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path not in inputs:
            fields = Counter()
            for content in contents(path.name, path.read_bytes()):
                fields.update(fields_in(content))
            if fields:
                found[str(path.relative_to(folder))] = dict(fields)
    return found


def fields_in(content):
    """Count the canaries of each field in bytes of text, UTF-8 or UTF-16, any case of letters."""
    text = content.lower().replace(b"\x00", b"")
    return Counter(m.decode() for m in re.findall(MARK.encode() + rb"([a-z])[b-z]{4}", text))


def contents(name, raw):
    """Yield the bytes of a file, and those packed in it: Parquet, PNG, zip, SQLite, base64."""
    yield raw
    if raw[:4] == b"PAR1":
        table = pq.read_table(pa.BufferReader(raw))
        yield str(table.schema.metadata).encode()
        for column in table.columns:
            yield "\n".join(map(str, column.unique().to_pylist())).encode()
    elif raw[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for member in archive.namelist():
                yield from contents(member, archive.read(member))
    elif raw[:2] == b"\x1f\x8b":
        yield from contents(name, zlib.decompress(raw, 47))
    elif raw[:8] == b"\x89PNG\r\n\x1a\n":
        yield from _png_texts(raw)
    elif raw[:15] == b"SQLite format 3":
        yield _dump(raw)
    for packed in re.findall(rb"base64,([A-Za-z0-9+/=]{40,})", raw):
        yield from contents(name, base64.b64decode(packed))


def _png_texts(raw):
    place = 8
    while place < len(raw):
        length, kind = int.from_bytes(raw[place : place + 4], "big"), raw[place + 4 : place + 8]
        chunk = raw[place + 8 : place + 8 + length]
        if kind in (b"zTXt", b"iTXt", b"iCCP"):
            for packed in re.findall(rb"\x78[\x01\x5e\x9c\xda].*", chunk, re.DOTALL):
                with contextlib.suppress(zlib.error):
                    yield zlib.decompressobj().decompress(packed)
        place += 12 + length


def _dump(raw):
    """Write a database out as text: a value may be torn over pages of the file."""
    connection = sqlite3.connect(":memory:")
    connection.deserialize(raw)
    text = "\n".join(connection.iterdump())
    connection.close()
    return text.encode("utf-8", "replace")


def measure(n_customers):
    """Run the life of a model in a folder of its own; canaries in files and in what was said."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        temporary = folder / "temporary"
        temporary.mkdir(parents=True)
        with (
            patch.object(tempfile, "tempdir", str(temporary)),
            patch.dict("os.environ", {"TMPDIR": str(temporary)}),
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("always")
            said = live(folder, n_customers)
        said["warnings"] = "\n".join(str(each.message) for each in warned)
        inputs = {p for p in folder.rglob("*.parquet") if p.stem in TABLES_OF_INPUT}
        files = search(folder, inputs | set(folder.rglob("run.yaml")))
        checked = sum(p.is_file() for p in folder.rglob("*")) - len(inputs)
        shutil.rmtree(temporary, ignore_errors=True)
    talk = {name: dict(fields_in(text.encode())) for name, text in said.items()}
    return files, {name: fields for name, fields in talk.items() if fields}, checked, len(said)


TABLES_OF_INPUT = ("customers", "interactions", "feedback", "transactions", "contacts")


def bars(scale=1.0):
    """Yield the bars of this part."""
    files, talk, checked, commands = measure(1_300 if scale < 1 else 2_500)
    allowed, leaks = 0, {}
    for path, fields in files.items():
        may = BY_DESIGN.get(Path(path).name, "")
        allowed += sum(count for field, count in fields.items() if field in may)
        rest = {FIELDS[field]: n for field, n in fields.items() if field not in may}
        if rest:
            leaks[path] = rest
    for name, fields in {**leaks, **talk}.items():
        print("canary:", name, fields)
    yield _none(f"files of {checked} with a canary that are not listed", leaks)
    yield _none(f"canaries in what {commands} commands and errors said", talk)
    yield {
        "name": f"canaries in the files listed by design ({', '.join(BY_DESIGN)})",
        "value": allowed,
        "bound": "> 0, or the search is blind",
        "holds": allowed > 0,
    }


def _none(name, found):
    return {"name": name, "value": len(found), "bound": 0, "holds": not found}
