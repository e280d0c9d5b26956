"""Figures: what they show, and that they leave nothing behind."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from cxpredict.drivers.explain import explain
from cxpredict.drivers.refits import Sizes
from cxpredict.drivers.single import dependence_table, waterfall_table
from cxpredict.drivers.stability import DriverStability
from cxpredict.errors import ConfigError, DataError
from cxpredict.features.origin import Origin

COMPLAINTS = Origin("interactions", "count", "", (("kind", "complaint"),), 30)


class Plain:
    feature_names_in_ = ("complaint_count_30d", "plan", "age")

    def contributions(self, X):
        plan = X["plan"].map({"gold": -0.5, "basic": 0.25}).fillna(0.0)
        columns = [0.5 * X["complaint_count_30d"] - 0.5, plan, 0.0 * X["age"] + 0.01]
        return np.column_stack(columns), -2.0


def _drivers(n=60):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "complaint_count_30d": rng.integers(0, 4, n).astype(float),
            "plan": pd.array(["gold", "basic", None] * (n // 3), dtype="str"),
            "age": rng.normal(40, 9, n),
        },
        index=[f"c{i}" for i in range(n)],
    )
    X.loc["c0", "complaint_count_30d"] = 3.0
    return explain(Plain(), X, origins={"complaint_count_30d": COMPLAINTS})


def _labels(figure):
    figure.canvas.draw()
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


@pytest.fixture(autouse=True)
def nothing_left_behind():
    before = dict(plt.rcParams)
    yield
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == before


def test_every_title_says_log_odds_and_not_causes():
    drivers = _drivers()
    figures = [
        drivers.plot(),
        drivers.beeswarm(),
        drivers.dependence("plan"),
        drivers.waterfall("c0"),
    ]
    for figure in figures:
        title = figure.axes[0].get_title()
        assert "log-odds" in title
        assert "not causes" in title


def test_dependence_table_by_hand():
    # ten values and fewer stand for themselves; more are cut into ten bins
    def table_of(values, pushed, times=11, **kind):
        values, pushed = pd.Series(values * times, **kind), pd.Series(pushed * times)
        return dependence_table(values, pushed, np.arange(len(values)))

    few = table_of([1.0, 2.0, 2.0, None], [0.1, 0.2, 0.4, 9.0])
    assert few["value"].tolist() == [1.0, 2.0]
    assert few["contribution"].tolist() == pytest.approx([0.1, 0.3])
    assert few["n"].tolist() == [11, 22]
    many = table_of(list(np.arange(200.0)), list(np.arange(200.0)), times=1)
    assert many["value"].iloc[0] == 9.5
    assert many["n"].tolist() == [20] * 10
    # of 33 customers there are three bins of 11; of ten, none
    assert table_of(list(np.arange(33.0)), [0.0] * 33, times=1)["n"].tolist() == [11] * 3
    assert len(table_of(list(np.arange(10.0)), [0.0] * 10, times=1)) == 0
    words = table_of(["b", "a", "b"], [0.2, -0.1, 0.4])
    assert words["value"].tolist() == ["a", "b"]
    levels = table_of(["b", "a"], [0.2, -0.1], dtype="category")
    assert levels["value"].tolist() == ["a", "b"]
    assert len(table_of([np.nan, np.inf], [1.0, 2.0])) == 0
    # eleven rows of one customer are one customer
    rows = pd.Series([1.0] * 11), pd.Series([0.5] * 11)
    assert len(dependence_table(*rows, np.zeros(11, dtype=int))) == 0


def test_dependence_draws_customers_means_and_the_typical_value():
    axes = _drivers().dependence("complaint_count_30d").axes[0]
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts[0].startswith("typical: ")
    assert {"customers", "mean"} <= set(texts)
    assert axes.get_xlabel() == "complaints in the last 30 days"
    mean = next(line for line in axes.lines if line.get_label() == "mean")
    np.testing.assert_allclose(mean.get_ydata(), 0.5 * mean.get_xdata() - 0.5)
    plan = _drivers().dependence("plan")
    plan.canvas.draw()
    assert [t.get_text() for t in plan.axes[0].get_xticklabels()] == ["gold", "basic"]
    empty = _drivers().values.assign(plan=pd.array([None] * 60, dtype="str"), age=np.nan)
    for name in ("plan", "age"):
        explain(Plain(), empty).dependence(name).canvas.draw()
    with pytest.raises(ConfigError, match="no feature 'planet'"):
        _drivers().dependence("planet")


def test_waterfall_table_ends_at_the_margin():
    table = waterfall_table(np.array([0.5, -0.2, 0.1, 0.1]), -1.0, list("abcd"), top=2)
    assert table["step"].tolist() == ["base", "a", "b", "2 other features"]
    assert (table["start"] + table["change"]).tolist() == pytest.approx([-1.0, -0.5, -0.7, -0.5])


def test_waterfall_of_one_customer():
    # −2 + (.5 × 3 − .5) − .5 + .01 = −1.49, a probability of 1 / (1 + e^1.49) = 18.4 %
    figure = _drivers().waterfall("c0", top=2)
    assert _labels(figure) == [
        "3 complaints in the last 30 days (typical: 2)",
        "plan is gold",
        "1 other feature",
    ]
    title = figure.axes[0].get_title()
    assert "base -2.00 to the margin -1.49" in title
    assert "18.4% before calibration" in title
    widths = [patch.get_width() for patch in figure.axes[0].patches]
    assert widths == pytest.approx([1.0, -0.5, 0.01])
    with pytest.raises(DataError, match="0 of 60 fit") as refused:
        _drivers().waterfall("someone's name")
    assert "someone" not in str(refused.value)


def test_stability_plot_shows_no_effect_and_ranks():
    sizes = Sizes(["a", "b"], np.array([[3.0, 1.0], [4.0, 5.0]] * 10), np.full((20, 2), 2.0))
    origins = {name: Origin("customers", "attribute", name) for name in "ab"}
    found = DriverStability(sizes, {}, origins, 0.95, "")
    figure = found.plot()
    assert _labels(figure) == ["a", "b"]
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["rank 1–2", "rank 1–2"]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    mark = next(line for line in axes.lines if "no effect" in str(line.get_label()))
    assert list(mark.get_xdata()) == [2.0, 2.0]


def test_bars_show_sizes_and_intervals():
    drivers = _drivers()
    axes = drivers.plot(top=2).axes[0]
    assert [patch.get_width() for patch in axes.patches] == pytest.approx(
        drivers.table["importance"].head(2).tolist()
    )
    assert "95% interval over customers" in axes.get_xlabel()
