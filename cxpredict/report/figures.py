"""The figures of the report with what they show in words."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import pandas as pd

from cxpredict.drivers.wording import describe_feature
from cxpredict.jobs.results import TrainedModel, TrainingRun
from cxpredict.report import evidence, plots, wording


@dataclass(frozen=True)
class Picture:
    """A figure as PNG, with what it shows in words."""

    name: str
    png: bytes
    alt: str
    caption: str

    @property
    def width(self) -> int:
        """Width in CSS pixels at which a printed inch of the figure is an inch."""
        pixels = int.from_bytes(self.png[16:20], "big")
        return round(pixels * 96 / plots.DPI)

    @property
    def source(self) -> str:
        """The figure as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def model_pictures(run: TrainingRun, model: TrainedModel) -> list[Picture]:
    """Draw the figures of one model."""
    words = wording.outcome_words(model.bundle.problem.settings)
    weights = evidence.row_weights(run.log, model.outcome.index)
    curve = evidence.risk_curve(model.outcome, model.risk, weights)
    base = float(curve["precision"].iloc[-1])
    values = model.metrics.drop_duplicates("metric").set_index("metric")
    auc, low, high = (values.loc["roc_auc", name] for name in ("estimate", "low", "high"))
    tenth = values.loc["capture_at_10pct", "estimate"]
    drivers = model.drivers
    labels = [describe_feature(name, origin) for name, origin in drivers.origins.items()]
    found = [
        Picture(
            "reliability",
            plots.png(plots.reliability(model.calibration, outcome=words.people)),
            f"Reliability diagram: predicted probability against observed share of {words.people} "
            f"in {len(model.calibration)} groups of test customers; the numbers are in the table "
            "“Tenths of risk”.",
            "Are the probabilities right? Each dot is a group of test customers with similar "
            "predicted risk. On the dashed line, predicted and observed agree; below it the model "
            "expects too much. Where a bar touches the line, chance explains the difference.",
        ),
        Picture(
            "gain",
            plots.png(plots.gain_and_lift(curve, base)),
            f"Gain and lift curves: the tenth of test customers with the highest risk holds "
            f"{wording.percent(tenth)} of all {words.people}.",
            f"How much does the list help? Left: share of all {words.people} found when the "
            "riskiest customers are contacted first; dashed is a random list. Right: how many "
            "times more frequent they are on the list than on average.",
        ),
        Picture(
            "roc_pr",
            plots.png(plots.roc_and_pr(curve, base)),
            f"ROC curve with area {wording.decimal(auc)} and precision–recall curve against a "
            f"base rate of {wording.percent(base, 1)}.",
            f"Left: {words.people} found against false alarms, over all cut-offs (area "
            f"{wording.decimal(auc)}, 95% interval {wording.decimal(low)} to "
            f"{wording.decimal(high)}). Right: how many alarms are right. Dashed: a random list.",
        ),
        Picture(
            "drivers",
            plots.png(plots.driver_bars(drivers.table.head(15))),
            "Bars of the 15 strongest drivers with intervals; the numbers are in the table "
            "“Drivers in detail”.",
            "What moves the predicted risk most, on average over test customers. The black line "
            "is the 95% interval over customers; it does not hold a new fit of the model.",
        ),
        Picture(
            "beeswarm",
            plots.png(plots.beeswarm(drivers.contributions, drivers.values, drivers.base, labels)),
            "SHAP beeswarm: for the 12 strongest drivers, one dot per customer by its "
            "contribution to the log-odds, coloured by the value of the driver.",
            "One dot per customer and driver. Right of the middle the driver raises the risk, "
            "left it lowers it. Red: high value, blue: low value (categories in alphabetical "
            "order).",
        ),
    ]
    if model.periods["as_of"].nunique() > 1:
        found.append(
            Picture(
                "rates",
                plots.png(
                    plots.rates_by_date(evidence.with_errors(model.periods), outcome=words.people)
                ),
                f"Share of {words.people} by date, training and test; the numbers are in the "
                "table “Rate by date”.",
                "Did the world change? A test rate far from the training rates means that the "
                "model learned from another time. Bars: 95% intervals.",
            )
        )
    return found


def experience_pictures(run: TrainingRun) -> list[Picture]:
    """Draw the figures of NPS and ROX, as far as they are there."""
    experience, found = run.experience, []
    shown = pd.DataFrame(evidence.nps_rows(experience))
    if len(shown) and len(shown := shown[~shown["suppressed"].astype(bool)]) > 1:
        found.append(
            Picture(
                "nps",
                plots.png(plots.nps_by_group(shown)),
                "Net promoter score of everyone and of each segment with intervals; the numbers "
                "are in the table below.",
                "Segments whose bars overlap widely cannot be told apart with these answers.",
            )
        )
    if experience.weighting is not None:
        rows = evidence.balance_rows(experience.weighting, run.models)
        found.append(
            Picture(
                "balance",
                plots.png(plots.balance(rows)),
                "Differences between respondents and everyone invited, before and after "
                f"weighting: the largest was {wording.decimal(rows['before'].abs().max(), 2)} "
                f"standard deviations before, {wording.decimal(rows['after'].abs().max(), 2)} "
                "after.",
                "Do the answers speak for everyone? Circles: how far those who answered differ "
                "from everyone invited. Diamonds: after weighting. Inside the grey band the "
                "difference is small.",
            )
        )
    if experience.rox is not None and run.config.value is not None:
        rox, currency = experience.rox, run.config.value.currency
        found.append(
            Picture(
                "waterfall",
                plots.png(rox.plot(unit=wording.shorten(currency, 20))),
                f"Waterfall from {wording.money(rox.baseline, currency)} without the improvement "
                "over the terms of the benefit and the cost to a net value of "
                f"{wording.money(rox.npv, currency)}; the numbers are in the table below.",
                "From left to right: what the customers concerned are worth without the "
                "improvement, what each term adds, what it costs, and what is left. Black lines: "
                "95% intervals.",
            )
        )
        if len(rox.tornado):
            found.append(
                Picture(
                    "tornado",
                    plots.png(plots.tornado(evidence.tornado_rows(rox), net=rox.net)),
                    f"Tornado: the net return with one input at a time changed; the widest bar "
                    f"belongs to {rox.tornado['input'].iloc[0]}.",
                    "What the answer depends on most: the net return if one input is at the low or "
                    "high end of its interval. A bar across the dashed line can turn gain to loss.",
                )
            )
    return found
