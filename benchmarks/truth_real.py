"""What the real data sets say of NPS and of the return on experience, and what they cannot say."""

from pathlib import Path

import numpy as np
import pandas as pd
from truth_repeat import at_most, bar

import cxpredict as cx

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SHOWN = ["estimate", "low", "high", "promoters", "detractors", "n"]


def bars(repetitions):
    if not DATA.is_dir():
        print("the real data sets are not here: their bars are left out")
        return
    yield from retail_nps()
    yield from telco_rox()


def retail_nps():
    """NPS of a French retailer, in all and by visits and basket."""
    answers = pd.read_parquet(DATA / "nps_retail_fr.parquet").drop(columns="explication")
    scores = answers["nps"]
    everyone = cx.nps(scores)
    print(f"nps_retail_fr\n{everyone[SHOWN].round(2).to_string()}")
    drawn = cx.nps(scores, method="bootstrap")
    gap = (everyone[["low", "high"]] - drawn[["low", "high"]]).abs().to_numpy().max()
    yield at_most("nps_retail_fr: adjusted Wald against bootstrap, points", gap, 0.3)
    visits = pd.cut(
        answers["NbPassageKS"],
        [0, 2, 5, 10, np.inf],
        labels=["1-2 visits", "3-5", "6-10", "over 10"],
    )
    basket = pd.cut(
        answers["CaTicket"],
        [-np.inf, 0, 25, 50, 100, np.inf],
        right=False,
        labels=["returns", "under 25", "25-50", "50-100", "100 and more"],
    )
    for name, by in (("visits", visits), ("basket", basket)):
        table = cx.nps(scores, by=by.rename(name))
        print(table[SHOWN].round(2).to_string())
        again = np.average(table["estimate"], weights=table["n"])
        yield at_most(f"nps_retail_fr by {name}: mean of the bands against the total, points",
                      abs(again - everyone["estimate"].iloc[0]), 1e-9)  # fmt: skip
    many, few = scores[visits == "over 10"], scores[visits == "1-2 visits"]
    test = cx.nps_difference(many, few).iloc[0]
    print(f"over 10 visits against 1-2: {test.estimate:+.1f} [{test.low:+.1f}, {test.high:+.1f}], "
          f"p = {test.p_value:.2g}")  # fmt: skip


def telco_rox():
    """ROX of moving 5 of 100 customers from low to middling satisfaction, at a stated cost."""
    customers = pd.read_parquet(DATA / "telco_1113_merged.parquet")
    score, left = customers["Satisfaction Score"], customers["Churn Value"]
    group = pd.cut(score, [0, 2, 3, 5], labels=["detractor", "passive", "promoter"]).astype(str)
    kept = customers["CLTV"] * (1 - left)  # what a customer is worth who does not leave
    table = kept.groupby(group).agg(lifetime_value="mean", sd="std", n="size")
    table["share"] = table["n"] / len(group)
    table["churn"] = left.groupby(group).mean()
    table["lifetime_value_se"] = np.maximum(table.pop("sd") / np.sqrt(table["n"]), 1e-6)
    print(f"telco: satisfaction 1-2, 3, 4-5 against churn and CLTV kept\n{table.round(3)}")
    rox = cx.return_on_experience(
        table[["lifetime_value", "lifetime_value_se", "share"]],
        shift={"detractor": -0.05, "passive": 0.05},
        customers=len(customers),
        cost=500_000.0,
        evidence="associational",
    )
    print(rox.table().round(3).to_string(index=False))
    tags = set(rox.terms["evidence"])
    yield bar("telco: evidence of the ROX", ", ".join(tags), "associational",
              tags == {"associational"})  # fmt: skip
    features = customers.drop(columns=["Churn Value", "Churn Label", "Customer ID"])
    found = cx.audit_leakage(features, left).table.set_index("feature")["severity"]
    warned = str(found.get("Satisfaction Score", "none"))
    yield bar("telco: leak warning on the satisfaction score", warned, "high", warned == "high")
    frame = customers[["Tenure in Months", "Contract", "Monthly Charge"]].assign(
        group=group, stayed=left == 0, margin=customers["Monthly Charge"]
    )
    try:
        cx.group_economics(
            frame, group="group", retained="stayed", margin="margin",
            covariates=["Tenure in Months", "Contract"], random_state=0,
        )  # fmt: skip
        reason = "an estimate"
    except cx.DataError as error:
        reason = str(error)
    print(f"telco, adjusted: {reason}")
    yield bar("telco: an adjusted effect is refused, naming who is missing",
              "refused" if "detractors who stayed" in reason else reason, "refused",
              "detractors who stayed" in reason)  # fmt: skip
