"""The bars of comments: ``python benchmarks/comments.py [--json] [--data ../shared/data]``.

Every figure is of comments that no model, calibration or threshold saw. Without the real data sets
the bars are left out and the output says so.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

import cxpredict as cx

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"


def at_least(name, value, bound):
    return {
        "name": name,
        "value": round(float(value), 4),
        "bound": f">= {bound}",
        "holds": bool(value >= bound),
    }


def low_score_bars(data, repeats=3):
    """Cross-validate in five folds, several times; who says nothing gets the training rate."""
    reviews = pd.read_parquet(data / "olist_sample_order_reviews.parquet")
    reviews = reviews[reviews["review_comment_message"].notna()]
    comments, score = reviews["review_comment_message"], reviews["review_score"]
    low = (score <= 2).to_numpy()
    every, said, missing, start = [], [], 0, time.perf_counter()
    for seed in range(repeats):
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        for train, test in folds.split(low, low):
            model = cx.CommentSentiment(low_at_most=2)
            model.fit(comments.iloc[train], score.iloc[train])
            risk = model.low_probability(comments.iloc[test])
            known = ~np.isnan(risk)
            missing += (~known).sum()
            said.append(roc_auc_score(low[test][known], risk[known]))
            every.append(roc_auc_score(low[test], np.where(known, risk, low[train].mean())))
    seconds = time.perf_counter() - start
    by_seed = np.reshape(every, (repeats, 5)).mean(axis=1).round(4).tolist()
    print(f"olist: {len(low):,} comments ({missing // repeats} say nothing), AUC of {repeats} "
          f"five-folds {by_seed}, {seconds / 5 / repeats:.1f} s a fold")  # fmt: skip
    yield at_least("olist: AUC of a low score, all comments", np.mean(every), 0.940)
    yield at_least("olist: AUC of a low score, comments that say something", np.mean(said), 0.940)


def theme_bars(data, folds=3):
    """Hold out each third in turn; the threshold comes from the other two."""
    tweets = pd.read_parquet(data / "twitter_airline.parquet").drop_duplicates("text")
    counts = tweets["negativereason"].value_counts()
    named = counts.drop("Can't Tell")
    yield from _theme_bars(tweets, counts.index[:6], "six largest", folds)
    yield from _theme_bars(tweets, named.index[:6], "six largest that name one", folds)


def _theme_bars(tweets, reasons, what, folds):
    tweets = tweets[tweets["negativereason"].isin(reasons)]
    text, reason = tweets["text"], tweets["negativereason"].astype(str)
    given, start = [], time.perf_counter()
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=0).split(text, reason):
        model = cx.CommentThemes(precision=0.85).fit(text.iloc[train], reason.iloc[train])
        given.append(model.predict(text.iloc[test])["theme"])
    theme = pd.concat(given).reindex(text.index)
    tagged, right = theme.notna(), theme == reason
    seconds = time.perf_counter() - start
    table = pd.DataFrame({"tagged": tagged, "right": right}).groupby(reason).mean()
    by_theme = right[tagged].groupby(theme[tagged]).agg(["size", "mean"])
    shown = by_theme.join(table["right"]).set_axis(["given", "precision", "found"], axis=1)
    print(f"airline tweets, {what}: {len(text):,} tweets, {seconds / folds:.1f} s a fold")
    print(shown.round(3))
    yield at_least(f"airline tweets, {what}: precision, .85 is set", right[tagged].mean(), 0.83)
    yield at_least(f"airline tweets, {what}: coverage", tagged.mean(), 0.45)


def bars(data=DATA):
    """Measure all bars; none where the data sets are not."""
    data = Path(data)
    if not data.is_dir():
        print("the real data sets are not here: the bars of comments are left out")
        return
    yield from low_score_bars(data)
    yield from theme_bars(data)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as last line")
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    start = time.perf_counter()
    found = list(bars(arguments.data))
    print(pd.DataFrame(found).to_string(index=False))
    print(f"{time.perf_counter() - start:.0f} s")
    if arguments.json:
        print(json.dumps({"bars": found}))


if __name__ == "__main__":
    main()
