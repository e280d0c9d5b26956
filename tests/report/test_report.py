"""The report of real, small runs: whole, true to the run, inert."""

import re
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from cxpredict.config import parse_config
from cxpredict.config.value import RoxSettings
from cxpredict.jobs.scoring.table import empty_scores
from cxpredict.jobs.training.experience import measure_experience
from cxpredict.jobs.training.train import train
from cxpredict.report.evidence import risk_curve, row_weights
from cxpredict.report.experience import headline, improvement_words
from cxpredict.report.plots import label, png
from cxpredict.report.reasons import is_actionable, subjects
from cxpredict.report.wording import count, decimal, money, percent, points
from cxpredict.report.write import write_report

PAGES = ("report.html", "return-on-experience.html")
PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "{{ 7 * 7 }}",
    r"$\frac$",
    "</style><svg onload=alert(3)>",
]
COMPANY = {
    "name": "small",
    "simulate": {"n_customers": 1800, "seed": 3},
    "observed_until": date(2026, 1, 1),
    "problems": {"churn": {"cancelled": "cancellation", "horizon_days": 60}},
    "split": {"test_at": date(2025, 9, 30), "every_days": 90, "train_from": date(2024, 10, 1)},
    "features": {"windows_days": [30]},
    "bands": {"churn": {"medium": 0.05, "high": 0.15}},
    "value": {
        "currency": "EUR",
        "lookback_days": 90,
        "period_days": 30,
        "horizon_days": 360,
        "yearly_discount_rate": 0.1,
    },
    "offer": {"contact_cost": 1.0, "incentive": 5.0, "acceptance": 0.3, "holdout_share": 0.2},
    "nps": {"window_days": 120, "weighted": True},
    "rox": {"shift_points": 5, "cost": 5000, "period_days": 90, "horizon_periods": 4},
    "stages": {"support": "retention", "use": "retention"},
    "actionable": ["support"],
    "effort": "fast",
    "random_state": 7,
}


@pytest.fixture(scope="module")
def company_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("company")
    return train(parse_config({**COMPANY, "artifacts": "artifacts"}, directory=folder))


@pytest.fixture(scope="module")
def page(company_run):
    path = write_report(company_run)
    return path, BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory):
    """A flat table whose column names, categories and ids are attacks."""
    folder = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    n = 1200
    table = pd.DataFrame({name: rng.normal(size=n) for name in PAYLOADS})
    table["plan <b>"] = rng.choice(PAYLOADS[:3], n)
    table["copy of <i>label</i>"] = 0
    risk = 1 / (1 + np.exp(1 - table[PAYLOADS[0]] - table[PAYLOADS[3]]))
    table["left"] = (rng.uniform(size=n) < risk).astype(int)
    table["copy of <i>label</i>"] = table["left"]
    table["id"] = [f"<u>{i}</u>" for i in range(n)]
    table.to_csv(folder / "customers.csv", index=False)
    source = {"path": "customers.csv", "table": "customers", "columns": {"customer_id": "id"}}
    config = {
        "name": "hostile",
        "sources": {"<em>people</em>": {**source, "attributes": "*"}},
        "problems": {"churn": {"label": "left"}},
        "split": {"as_of": date(2024, 1, 1), "test_share": 0.3},
        "audit": {"on_leak": "drop"},
        "bands": {"churn": {"medium": 0.2, "high": 0.5}},
        "actionable": PAYLOADS,
        "effort": "fast",
        "random_state": 7,
        "artifacts": "artifacts",
    }
    return train(parse_config(config, directory=folder))


def text_of(soup):
    return re.sub(r"\s+", " ", soup.get_text(" ")).replace("\N{NO-BREAK SPACE}", " ")


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


def check_inert(soup):
    """Nothing that runs, nothing that loads, no element that only an attack would bring."""
    foreign = soup.find_all(["script", "iframe", "object", "embed", "link", "form", "svg", "base"])
    assert foreign == []
    for element in soup.find_all(True):
        assert not [name for name in element.attrs if name.lower().startswith("on")], element.name
        for name in ("src", "href", "srcset", "action", "poster"):
            value = element.get(name)
            assert (
                value is None or value in PAGES or value.startswith(("#", "data:image/png;base64,"))
            )
    style = "".join(element.get_text() for element in soup.find_all("style"))
    assert "@import" not in style
    assert "url(" not in style


def test_file_is_small_whole_and_self_contained(page, company_run):
    path, soup = page
    assert path == company_run.folder / "report.html"
    assert path.stat().st_size < 5_000_000
    assert soup.html["lang"] == "en"
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    check_inert(soup)


def test_every_image_has_a_text_and_a_caption(page):
    images = page[1].find_all("img")
    assert len(images) >= 8
    for image in images:
        assert len(image["alt"]) > 20
        assert image.find_parent("figure").figcaption.get_text(strip=True)


def test_tables_have_heads_and_contents_lead_somewhere(page):
    soup = page[1]
    for table in soup.find_all("table"):
        assert all(head.get("scope") for head in table.find_all("th"))
        columns = len(table.thead.find_all("th"))
        for row in table.tbody.find_all("tr"):
            cells = row.find_all(["th", "td"], recursive=False)
            assert sum(int(cell.get("colspan", 1)) for cell in cells) == columns
    ids = [element["id"] for element in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))
    links = soup.nav.find_all("a")
    assert links
    assert all(link["href"].removeprefix("#") in ids for link in links)


def test_counts_and_money_are_those_of_the_run(page, company_run):
    scores = company_run.models[0].at_risk
    tiles = {tile.dt.get_text(strip=True): tile for tile in page[1].select(".tile")}

    def shown(name):
        return plain(tiles[name].select_one(".value").get_text(strip=True))

    assert shown("active customers") == f"{len(scores):,}"
    assert shown("at high risk of churn") == f"{(scores['risk_band'] == 'high').sum():,}"
    assert shown("expected to leave within 60 days") == f"{scores['churn_probability'].sum():,.0f}"
    at_risk = scores["value_at_risk"].sum()
    assert shown("margin at risk over 360 days") == f"EUR {at_risk:,.0f}"
    contacted = scores[scores["action"] == "contact"]
    assert shown("expected gain of the offer") == f"EUR {contacted['expected_gain'].sum():,.0f}"
    held_out = int((scores["arm"] == "held_out").sum())
    assert held_out > 0
    text = text_of(page[1])
    assert f"Contact the {len(contacted):,} customers" in text
    assert f"Do not contact the {held_out:,} held-out customers" in text


def test_nps_and_rox_are_those_of_the_run(page, company_run):
    text = text_of(page[1])
    experience = company_run.experience
    row, alone = experience.nps.iloc[0], experience.unweighted.iloc[0]
    assert f"{points(row['estimate'])} , 95% interval {points(row['low'])}" in text
    assert "Non-response weighting is on" in text
    assert f"the score would be {points(alone['estimate'])}" in text
    assert f"{count(row['n'])} answers to {count(experience.invited)} invitations" in text
    assert f"Net return {percent(experience.rox.net)}" in text


def test_touchpoints_are_those_of_the_run(page, company_run):
    section, table = page[1].find("section", id="journey"), company_run.experience.touchpoints
    text = text_of(section)
    assert "associational" in text
    assert "nan" not in text
    first, second = section.find_all("table")
    assert [row.th.get_text() for row in first.tbody.find_all("tr")] == list(table["touchpoint"])
    influential = table.loc[table["evidence"] != "", "touchpoint"]
    assert [row.th.get_text() for row in second.tbody.find_all("tr")] == list(influential)


@pytest.fixture(scope="module")
def rox_page(page):
    path = page[0].with_name("return-on-experience.html")
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_the_board_page_is_that_of_the_run(rox_page, company_run):
    check_inert(rox_page)
    text, rox = text_of(rox_page), company_run.experience.rox
    assert rox is not None, company_run.experience.notes
    low, high = rox.interval
    assert "moves 5 of every 100 customers from detractor to passive" in text
    assert f"(benefit − cost) ÷ cost; {percent(low)} to {percent(high)}" in text
    assert f"Gross, benefit ÷ cost: {percent(rox.gross)}" in text
    values = [plain(tile.get_text(strip=True)) for tile in rox_page.select(".tile .value")]
    assert values[:3] == [
        percent(rox.net),
        plain(money(rox.npv, "EUR")),
        percent(rox.probability_positive) if rox.probability_positive > 0.001 else "under 0.1%",
    ]
    for term in rox.terms.itertuples():
        assert plain(f"{term.term} {money(term.benefit, 'EUR')}") in text
    for term in rox.refused:
        assert f"{term}: " in text
    claimed = plain(money(rox.unadjusted.npv, "EUR"))
    assert f"plain comparison {claimed}" in text
    half = rox.scenarios().query("realised == 0.5 and effect == 'estimate'")["npv"].item()
    assert plain(money(half, "EUR")) in text
    assert "was entered" in text or "were entered" in text


def test_the_board_page_is_short(rox_page):
    """Two minutes at 240 words a minute; what is folded away is not read."""
    for folded in rox_page.find_all("details"):
        folded.extract()
    assert len(text_of(rox_page.main).split()) < 600


def test_a_refusal_is_a_page_too(company_run, tmp_path):
    note = "Too few detractors left. <script>"
    experience = replace(company_run.experience, rox=None, economics=None, rox_notes=(note,))
    run = replace(company_run, experience=experience, folder=tmp_path / "refused")
    path = write_report(run).with_name("return-on-experience.html")
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    check_inert(soup)
    assert note in text_of(soup)
    assert "The records cannot answer it" in text_of(soup)
    assert not soup.select(".tile")


def test_the_headline_says_what_the_figures_say(company_run):
    rox = company_run.experience.rox
    stated = rox.terms.assign(evidence="assumed")
    sure = replace(rox, npv=200.0, benefit=300.0, cost=100.0, interval=(1.0, 3.0))
    assert headline(sure, "EUR").endswith("The whole interval is a gain.")
    assert "if the assumed figures are right" in headline(replace(sure, terms=stated), "EUR")
    harm = replace(rox, npv=-150.0, benefit=-50.0, cost=100.0, interval=(-2.0, 0.5))
    assert "do harm" in headline(harm, "EUR")
    assert headline(harm, "EUR").endswith("leave open whether it pays at all.")
    plain_figures = headline(replace(sure, interval=None), "EUR")
    assert plain_figures.endswith("nothing says how sure this is.")


@pytest.mark.parametrize(
    ("improvement", "words"),
    [
        ({"shift_points": 2.5}, "moves 2.5 of every 100 customers from detractor to passive"),
        (
            {"answer_within": {"kind": "service_request", "hours": 24, "share": 0.6}},
            "answers 60% of “service request” within 24 hours",
        ),
        (
            {"raise_score": {"metric": "csat", "points": 1, "touchpoint": "support"}},
            "raises the CSAT score at “support” by 1 point",
        ),
    ],
)
def test_every_improvement_has_its_words(improvement, words):
    settings = RoxSettings(**improvement, cost=1.0, period_days=90, horizon_periods=4)
    assert improvement_words(settings) == words


def test_metrics_carry_their_intervals(page, company_run):
    rows = company_run.models[0].metrics.set_index("metric")
    auc = rows.loc["roc_auc"]
    expected = f"{decimal(auc['estimate'])} {decimal(auc['low'])} to {decimal(auc['high'])}"
    assert f"Ranking (ROC AUC) {expected}" in text_of(page[1])


def test_without_weighting_the_report_says_so(company_run, tmp_path):
    nps = company_run.config.nps.model_copy(update={"weighted": False})
    config = company_run.config.model_copy(update={"nps": nps, "rox": None})
    experience = measure_experience(config, company_run.log)
    run = replace(company_run, config=config, experience=experience, folder=tmp_path / "off")
    text = text_of(BeautifulSoup(write_report(run).read_text(encoding="utf-8"), "html.parser"))
    assert "Non-response weighting is off" in text
    assert "Non-response weighting is on" not in text
    assert f"{points(experience.nps['estimate'].iloc[0])} , 95% interval" in text
    assert all(re.sub(r"\s+", " ", note) in text for note in experience.notes)


def test_small_segments_are_hidden_and_names_are_only_text(company_run, tmp_path):
    nps = company_run.experience.nps.copy()
    nps.index = ["all", *PAYLOADS[: len(nps) - 1]]
    nps.iloc[1, nps.columns.get_loc("suppressed")] = True
    hidden = points(nps["estimate"].iloc[1])
    value = company_run.config.value.model_copy(update={"currency": PAYLOADS[1]})
    run = replace(
        company_run,
        config=company_run.config.model_copy(update={"value": value}),
        experience=replace(company_run.experience, nps=nps, notes=tuple(PAYLOADS)),
        folder=tmp_path / "hidden",
    )
    soup = BeautifulSoup(write_report(run).read_text(encoding="utf-8"), "html.parser")
    check_inert(soup)
    row = soup.find("section", id="nps").tbody.find_all("tr")[1]
    assert row.th.get_text(strip=True) == PAYLOADS[0]
    assert "fewer than 11 answers" in row.get_text()
    assert hidden not in row.get_text()


def test_hostile_names_stay_text(hostile_run):
    page = write_report(hostile_run).read_text(encoding="utf-8")
    soup = BeautifulSoup(page, "html.parser")
    check_inert(soup)
    assert soup.find(["u", "i", "em"]) is None
    text = text_of(soup)
    assert PAYLOADS[0] in text
    assert PAYLOADS[3] in text
    assert "{{ 7 * 7 }}" in text
    assert "copy of <i>label</i>" in hostile_run.models[0].dropped
    assert "Dropped before training: copy of <i>label</i>" in text
    assert "no value configured" in text
    assert "no contact was randomised" in text


def test_nobody_to_score_is_no_error(company_run, tmp_path):
    model = replace(company_run.models[0], at_risk=empty_scores("churn"))
    run = replace(company_run, models=(model,), folder=tmp_path / "nobody")
    text = text_of(BeautifulSoup(write_report(run).read_text(encoding="utf-8"), "html.parser"))
    assert "active customers 0 scored" in text


def test_report_and_figures_are_attached(page, company_run):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=company_run.tracking_uri)
    assert "report.html" in {file.path for file in client.list_artifacts(company_run.run_id)}
    of_run = {file.path for file in client.list_artifacts(company_run.run_id, "figures")}
    assert {"figures/waterfall.png", "figures/balance.png"} <= of_run
    of_model = client.list_artifacts(company_run.models[0].run_id, "figures")
    assert {f"figures/{name}.png" for name in ("reliability", "gain", "roc_pr", "beeswarm")} <= {
        file.path for file in of_model
    }
    assert all(file.file_size > 5_000 for file in of_model)


def test_same_run_same_bytes(page, company_run):
    before = page[0].read_bytes()
    assert write_report(company_run).read_bytes() == before


def test_actionable_subjects_are_marked(company_run):
    drivers = company_run.models[0].drivers
    table = subjects(drivers, ["support"])
    assert set(table.loc[table["actionable"], "where"]) == {"support"}
    assert table["share"].sum() == pytest.approx(1)
    assert (table["low"] <= table["share"]).all()
    assert (table["share"] <= table["high"]).all()
    assert not subjects(drivers, [])["actionable"].any()
    origin = drivers.origins["complaint_count_30d"]
    assert is_actionable("complaint_count_30d", origin, ["complaint"])


def test_curve_by_hand_with_ties_and_weights():
    # two rows tie at .5: one step; weights 1, 2, 1, 1 with events of weight 1 and 1
    outcome, risk = pd.Series([1.0, 0.0, 1.0, 0.0]), pd.Series([0.9, 0.5, 0.5, 0.1])
    curve = risk_curve(outcome, risk, pd.Series([1.0, 2.0, 1.0, 1.0]))
    assert curve["share"].tolist() == [0.2, 0.8, 1.0]
    assert curve["captured"].tolist() == [0.5, 1.0, 1.0]
    assert curve["false_alarms"].tolist() == [0.0, 2 / 3, 1.0]
    assert curve["precision"].tolist() == [1.0, 0.5, 0.4]
    assert curve["lift"].tolist() == pytest.approx([2.5, 1.25, 1.0])


def test_area_under_the_drawn_curve_is_the_metric(company_run):
    model = company_run.models[0]
    curve = risk_curve(model.outcome, model.risk, row_weights(company_run.log, model.risk.index))
    area = np.trapezoid([0, *curve["captured"]], [0, *curve["false_alarms"]])
    auc = model.metrics.set_index("metric").loc["roc_auc", "estimate"]
    assert area == pytest.approx(auc, abs=1e-9)


def test_figures_draw_any_name(company_run):
    rox = company_run.experience.rox
    assert png(rox.plot(unit="$$ 貨幣\x00")).startswith(b"\x89PNG")
    assert label("a$b$") == r"a\$b\$"
    assert len(label("x" * 500)) <= 52


def test_numbers_as_people_write_them():
    assert plain(money(1234567.4, "EUR")) == "EUR 1,234,567"
    assert plain(money(-3.5, "EUR")) == "−EUR 3.50"
    assert [percent(x) for x in (0.0, 0.0042, 0.0994, 0.34, -0.331, 1.5)] == [
        "0.0%", "0.4%", "9.9%", "34%", "−33%", "150%",
    ]  # fmt: skip
    assert percent(float("nan")) == "–"
    assert decimal(-0.0001, 2) == "0.00"
    assert count(1e6) == "1,000,000"
