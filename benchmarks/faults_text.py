"""Fifty hostile texts in every place for text, on every page, beside a run with harmless words.

All fifty stand in each slot at once: names and values bear several of them each.
"""

import csv
import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from bs4 import BeautifulSoup
from bs4.element import PreformattedString
from command_line import cxpredict
from company_files import company_config, company_tables, write_company
from hostile_words import FORMULAS, HARMLESS, HOSTILE, dressed, marked

import cxpredict as cx
from cxpredict.jobs.scoring.outputs import read_csv

SLOTS = {
    "kind": ("interactions", "kind"),
    "touchpoint": ("interactions", "touchpoint"),
    "channel": ("interactions", "channel"),
    "outcome": ("interactions", "outcome"),
    "agent": ("interactions", "agent_id"),
    "deal": ("transactions", "kind"),
    "action": ("contacts", "action"),
    "segment": ("customers", "segment"),
    "region": ("customers", "region"),
    "comment": ("feedback", "comment"),
}
LISTED = ("attribute", "level", "label", "reason", "currency", "unit", "source", "lever")
SCORED = "2025-09-30"


LISTED = ("attribute", "level", "label", "reason", "currency", "unit", "source", "lever", "id")
SCORED = "2025-09-30"
REPRS = ("audit", "drivers", "gate")


def dressed_company(words, n_customers):
    """Give tables and configuration of a company in whose every text the words stand."""
    tables = company_tables(n_customers)
    known = {}
    for slot, (table, column) in SLOTS.items():
        known[slot] = dressed(slot, tables[table][column].dropna().unique(), words)
        for name, frame in tables.items():
            if column in frame and (slot not in ("kind", "deal") or name == table):
                told = frame[column].notna()
                frame.loc[told, column] = frame.loc[told, column].map(known[slot])
    ids = dressed("id", tables["customers"]["customer_id"], words)
    for frame in tables.values():
        frame["customer_id"] = frame["customer_id"].map(ids)
    renamed = dressed("attribute", ["region", "acquisition"], words)
    tables["customers"] = tables["customers"].rename(columns=renamed)
    known["source"] = dressed("source", tables, words)
    known["currency"], known["unit"] = (
        dressed(slot, [value], words) for slot, value in (("currency", "EUR"), ("unit", "min"))
    )
    gate = {"segments": ["segment", renamed["region"]]}
    return tables, company_config(tables, lambda slot, name: known[slot][name], gate=gate)


def dressed_people(words, formulas=FORMULAS, n=1_200):
    """Give a flat table whose column names, levels, ids and label are such words.

    Half of the columns have the words alone as their names; the ids of a few customers at risk
    begin with what a spreadsheet takes for formulas.
    """
    rng = np.random.default_rng(0)
    names = [marked("attribute", word) for word in words]
    frame = pd.DataFrame(rng.normal(size=(n, len(names))), columns=names)
    plan = f"plan {marked('attribute', words[0])}"
    frame[plan] = [marked("level", words[i % len(words)]) for i in range(n)]
    odds = frame[names[0]] + frame[names[2]] + (np.arange(n) % len(words)) / len(words) - 1.5
    left = rng.random(n) < 1 / (1 + np.exp(-2 * odds))
    stays, leaves = dressed("label", ["no", "yes"], words).values()
    frame[marked("label", words[3])] = np.where(left, leaves, stays)
    frame[marked("leak", words[4])] = left + rng.normal(0, 0.2, n)
    frame["id"] = [marked("id", f"{words[i % len(words)]} {i}") for i in range(n)]
    frame.loc[: len(formulas) - 1, "id"] = formulas
    frame.loc[: len(formulas) - 1, names[:3]] = 3.0
    return frame, leaves


def people_config(frame, words, leaves):
    """Describe a run on such a table."""
    source = {"path": "people.parquet", "table": "customers", "columns": {"customer_id": "id"}}
    reason = " ".join(marked("reason", word) for word in words)
    return {
        "name": "flat",
        "sources": {marked("source", words[5]): {**source, "attributes": "*"}},
        "problems": {"churn": {"label": marked("label", words[3]), "positive": leaves}},
        "split": {"as_of": pd.Timestamp("2024-01-01").date(), "test_share": 0.3},
        "audit": {"accept": {marked("leak", words[4]): reason}},
        "bands": {"churn": {"medium": 0.2, "high": 0.5}},
        "actionable": [marked("attribute", words[0]), *(marked("lever", word) for word in words)],
        "effort": "fast",
        "random_state": 7,
    }


class Shown:
    """All that a run shows: pages by name, what was printed, notes in MLflow."""

    def __init__(self):
        self.pages, self.said, self.notes, self.csv = {}, "", [], None

    def command(self, *arguments, codes=(0,)):
        """Run a command and keep what it said."""
        done = cxpredict(*arguments)
        self.said += done.out + done.err
        assert done.code in codes, done.said[-500:]

    def keep(self, *paths):
        """Keep pages, whatever their folder."""
        for path in paths:
            self.pages[f"{len(self.pages)} {path.name}"] = path.read_text(encoding="utf-8")

    def keep_run(self, path):
        """Keep the pages of a training, its notebook views and its notes."""
        self.command("check", path)
        run = cx.train(path)
        self.keep(cx.write_report(run), *run.folder.glob("return*.html"))
        model = run.models[0]
        views = [getattr(model, name)._repr_html_() for name in REPRS]
        if run.experience.rox is not None:
            views.append(run.experience.rox._repr_html_())
        self.pages[f"{len(self.pages)} notebook"] = "".join(views)
        self.notes += _notes(run.tracking_uri)
        return run

    def keep_scores(self, path, model, as_of, *more):
        """Keep the page of a scored date; give the folder of scores."""
        out = path.parent / "scores"
        self.command(
            "score", "--config", path, "--model", model, "--as-of", as_of, "--out", out,
            "--reasons", "all", *more, codes=(0, 9),
        )  # fmt: skip
        return out / f"as_of={as_of}"


def _notes(uri):
    """Read every note in Markdown that the store holds."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    places = [e.experiment_id for e in client.search_experiments()]
    runs = [run.data.tags.get("mlflow.note.content", "") for run in client.search_runs(places)]
    models = [model.description or "" for model in client.search_registered_models()]
    versions = [v.description or "" for v in client.search_model_versions()]
    return [note for note in (*runs, *models, *versions) if note]


def show(words, folder, n_customers):
    """Run everything on tables with such words."""
    shown = Shown()
    folder.mkdir()
    path = write_company(folder, *dressed_company(words, n_customers))
    shown.keep_run(path)
    scores = shown.keep_scores(path, "models:/small-churn@champion", SCORED)
    shown.command("report", scores, "--out", folder / "page", "--top", n_customers)
    shown.command(
        "monitor", "--config", path, "--model", "models:/small-churn@champion",
        "--scores", scores, codes=(0, 10),
    )  # fmt: skip
    shown.keep(folder / "page" / "scores.html", *folder.glob("artifacts/monitor/*/monitor.html"))
    return show_flat(words, folder / "flat", shown)


def show_flat(words, folder, shown):
    """Run training and scoring on a flat table with such words."""
    folder.mkdir()
    frame, leaves = dressed_people(words)
    frame.to_parquet(folder / "people.parquet")
    path = folder / "flat.yaml"
    content = people_config(frame, words, leaves)
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    shown.keep_run(path)
    model = "models:/flat-churn/1"
    scores = shown.keep_scores(path, model, "2024-01-01")
    shown.command("report", scores, "--out", folder / "page", "--top", 60)
    shown.keep(folder / "page" / "scores.html")
    told = pq.read_table(scores / "scores.parquet")
    shown.csv = told, shown.keep_scores(path, model, "2024-01-01", "--format", "csv") / "scores.csv"
    return shown


def parts_of(page):
    """List the elements of a page with parents and attributes, and what is neither nor text."""
    soup, found = BeautifulSoup(page, "html.parser"), set()
    for element in soup.find_all(True):
        found.add(f"{element.parent.name} > {element.name}")
        for name, value in element.attrs.items():
            found.add(f"{element.name} {name}")
            if name in ("href", "src", "style", "class", "id", "action"):
                text = " ".join(value) if isinstance(value, list) else value
                found.add(f"{name}={_shape(text)}")
    others = soup.find_all(string=lambda text: isinstance(text, PreformattedString))
    return found | {f"{type(text).__name__} {text}" for text in others}


def _shape(value):
    """Leave out of an attribute's value what differs between two honest runs."""
    value = re.sub(r"base64,[A-Za-z0-9+/=]*", "base64,", value)
    return re.sub(r"\d+(\.\d+)?", "0", value)


def new_parts(hostile, harmless):
    """List what stands on a page of the one run and nowhere on the same page of the other."""
    return [
        f"{name}: {part}"
        for name, page in hostile.items()
        for part in sorted(parts_of(page) - parts_of(harmless[name]))
    ]


def coverage(pages, words):
    """Count, for each slot, the words that some page shows as plain text."""
    text = "".join(BeautifulSoup(page, "html.parser").get_text() for page in pages.values())
    text = _folded(text)
    shown = {
        slot: sum(_folded(marked(slot, word)) in text for word in words)
        for slot in dict.fromkeys((*SLOTS, *LISTED))
    }
    return pd.Series(shown, name="shown")


def _folded(text):
    return " ".join(text.replace("_", " ").split())


def rendered(notes):
    """Render notes as Markdown that passes HTML through."""
    from markdown_it import MarkdownIt

    return {str(place): MarkdownIt("commonmark").render(note) for place, note in enumerate(notes)}


def formula_faults(table, path):
    """List what a spreadsheet would run, and texts that cannot be told back."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    texts = [n for n in table.column_names if pa.types.is_string(table.schema.field(n).type)]
    alive = [
        cell
        for row in (header, *rows)
        for name, cell in zip(header, row, strict=True)
        if cell[:1] in set("=+-@\t\r\n＝＋－＠") and (row is header or name in texts)
    ]
    back = read_csv(path, table.schema)
    wrong = [name for name in texts if not back[name].equals(table[name])]
    return alive, wrong


def bars(scale=1.0):
    """Yield the bars of this part."""
    n_customers = 1_300 if scale < 1 else 2_500
    with tempfile.TemporaryDirectory() as place:
        hostile = show(HOSTILE, Path(place) / "hostile", n_customers)
        harmless = show(HARMLESS, Path(place) / "harmless", n_customers)
        alive, wrong = formula_faults(*hostile.csv)
    new = new_parts(hostile.pages, harmless.pages)
    told = coverage(hostile.pages, HOSTILE)
    print(told.to_frame().T.to_string(), *new[:20], sep="\n")
    marks = new_parts(
        {"notes": "".join(rendered(hostile.notes).values())},
        {"notes": "".join(rendered(harmless.notes).values())},
    )
    print(*marks[:20], sep="\n")
    controls = sorted(set(re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", hostile.said)))
    unmarked = "[red]colour[/red]" in hostile.said
    yield _none(f"new elements, attributes, handlers, comments on {len(hostile.pages)} pages", new)
    pairs = int(told.sum())
    yield {"name": f"pairs of {len(HOSTILE)} words and {len(told)} slots seen as text on a page",
           "value": pairs, "bound": ">= 500", "holds": pairs >= 500}  # fmt: skip
    yield _none("new elements in the notes of MLflow", marks)
    yield _none("control characters on the terminal", controls)
    yield {"name": "terminal markup is printed as it stands", "value": unmarked, "bound": True,
           "holds": unmarked}  # fmt: skip
    yield _none("cells of CSV that a spreadsheet runs", alive)
    yield _none("texts of CSV that cannot be told back", wrong)


def _none(name, found):
    return {"name": name, "value": len(found), "bound": 0, "holds": not found}
