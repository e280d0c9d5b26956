"""Rows 29, 33 to 35, 43, 46, 47 and 51: what cannot be learnt from."""

import numpy as np
import pandas as pd
import pytest
from clean_command import cxpredict
from people import people
from people import write_flat as write

import cxpredict as cx


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One store for all the runs that fail."""
    return tmp_path_factory.mktemp("refused")


def refused(folder, frame, code, *words):
    done = cxpredict("train", write(folder, frame))
    assert done.code == code, done.said
    for each in words:
        assert each in done.said, done.said


def test_29_a_feature_that_is_the_label_fails_the_run_and_is_named(folder):
    frame = people().assign(farewell=lambda f: np.where(f.left == 1, "gift", None))
    refused(folder, frame, 4, "farewell", "AUC")


def test_33_a_target_of_one_class_is_refused_with_counts(folder):
    refused(folder, people().assign(left=0.0), 3, "of 1,000 known, no customer has 'left' = 1")
    refused(folder, people().assign(left=1.0), 3, "of the rarer outcome, found", "and 0")


def test_34_35_a_target_that_is_missing_everywhere_leaves_nothing_to_learn_from(folder):
    refused(folder, people().assign(left=None), 3)


def test_35_51_too_few_rows_are_refused_with_the_counts_and_the_floor(folder):
    refused(folder, people().head(0), 7, "no active customers")
    floor = "expected at least 500 training rows and 100 of the rarer outcome, found"
    refused(folder, people().head(600), 3, floor)


def test_43_46_47_columns_that_are_no_features_are_all_named(folder):
    n = 1_000
    frame = people(n).assign(
        account=[f"canary account {i}" for i in range(n)],
        said=[f"canary said that {i} and {i + 1} are much too many words" for i in range(n)],
    )
    refused(folder, frame, 5, "'account' has", "an id: drop it", "'said' has")
    X = frame[["a[b"]].assign(paid=[f"{i}.5" for i in range(n)], since=pd.Timestamp("2024-01-01"))
    with pytest.raises(cx.ModelError, match="'paid' holds numbers as text") as raised:
        cx.ChurnModel().fit(X, frame.left)
    assert "'since' holds dates or times: use the days" in str(raised.value)
