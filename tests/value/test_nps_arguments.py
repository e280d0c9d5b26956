"""Arguments of the NPS functions that once gave a wrong number, or failed without a word."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.dummy import DummyClassifier

from cxpredict.errors import DataError, ModelError
from cxpredict.value.nps import nps, nps_difference
from cxpredict.value.nps.everyone import NpsOfEveryone, nps_of_everyone
from cxpredict.value.nps.response import response_weights

SCORES = [9, 3] * 10
BEFORE, AFTER = [9, 3, 10, 8, 2, 9] * 5, [10, 3, 10, 9, 3, 9] * 5


@pytest.mark.parametrize("size", [1e160, 1e-200])
def test_the_scale_of_weights_does_not_matter(size):
    pd.testing.assert_frame_equal(nps(SCORES, weights=[size] * 20), nps(SCORES))


def test_customers_are_the_same_whether_their_ids_are_whole_or_not():
    ids = list(range(30))
    whole = nps_difference(AFTER, BEFORE, customers_a=ids, customers_b=ids)
    floats = nps_difference(AFTER, BEFORE, customers_a=ids, customers_b=[float(i) for i in ids])
    pd.testing.assert_frame_equal(whole, floats)
    with pytest.raises(DataError, match="numbers in one group and text in the other"):
        nps_difference(AFTER, BEFORE, customers_a=ids, customers_b=[str(i) for i in ids])


def test_groups_of_the_same_few_people_do_not_hide_each_other():
    # B and C have twelve answers of six people: with A's six hidden too nothing is told
    customers = [f"a{n}" for n in range(40)] + [f"b{n}" for n in range(6)] * 2
    table = nps([9, 3] * 20 + [2] * 12, customers=customers, by=["A"] * 40 + ["B"] * 6 + ["C"] * 6)
    assert table["suppressed"].all()
    apart = [f"a{n}" for n in range(52)]
    table = nps([9, 3] * 20 + [2] * 12, customers=apart, by=["A"] * 40 + ["B"] * 6 + ["C"] * 6)
    assert table["suppressed"].tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: nps(SCORES, weights=2.0), "weights: expected 20"),
        (lambda: nps(SCORES, weights=np.ones((20, 1))), "weights: expected 20"),
        (lambda: nps(pd.Series(SCORES), weights=pd.DataFrame({"w": [1.0] * 20})), "Of a table"),
        (lambda: nps(pd.DataFrame({"s": SCORES})), "one score per row"),
        (lambda: nps(9), "got one int"),
        (lambda: nps("9"), "got one str"),
        (lambda: nps(SCORES, level="0.95"), "level"),
        (lambda: nps(SCORES, method="bootstrap", random_state=-1), "random_state"),
        (lambda: nps_difference(SCORES, SCORES, random_state=1.5), "random_state"),
    ],
)
def test_arguments_of_the_wrong_shape_are_refused(call, told):
    with pytest.raises(DataError, match=told):
        call()


def people(n=600):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=n)})
    return X, pd.Series(rng.integers(0, 11, n).astype(float)).where(rng.random(n) < 0.5)


def of_everyone(**changes):
    X, scores = people()
    given = {"X": X, "scores": scores, "outcome": DummyClassifier(), "random_state": 0} | changes
    return nps_of_everyone(**given)


def test_groups_of_any_kind_are_compared_in_their_order():
    by = pd.Series([2, "A", 1] * 200, dtype=object)
    result = of_everyone(by=by)
    assert isinstance(result, NpsOfEveryone)
    compared = result.comparison()
    assert compared.index.get_level_values(0).tolist() == [1, 1, 1, 2, 2, 2, "A", "A", "A"]
    assert compared.index.get_level_values(1)[:3].tolist() == [
        "answers only", "weighted answers", "everyone",
    ]  # fmt: skip


def test_huge_sampling_weights_are_only_weights():
    weighted = of_everyone(weights=[1e200] * 600)
    pd.testing.assert_frame_equal(weighted.everyone, of_everyone().everyone)


def test_ten_answers_of_one_customer_are_no_ten_detractors():
    _, scores = people()
    scores = scores.where(~(scores <= 6), 9.0)
    scores[:12] = 2.0
    customers = np.arange(600)
    customers[:12] = 0
    with pytest.raises(DataError, match=r"10 customers who are detractors \(there are 1\)"):
        of_everyone(scores=scores, customers=customers)


def test_what_cannot_be_a_model_or_a_table_is_named():
    X, scores = people()
    with pytest.raises(ModelError, match="outcome: expected a classifier"):
        of_everyone(outcome="x")
    for other in (pl.from_pandas(X), X.to_numpy()):
        with pytest.raises(DataError, match=r"expected a pandas DataFrame, got (polars|numpy)"):
            of_everyone(X=other)
        with pytest.raises(DataError, match="to_pandas"):
            response_weights(other, scores.notna())


def test_ids_among_the_covariates_are_refused_by_name():
    X, _ = people()
    with pytest.raises(DataError, match="account has 600 distinct text values"):
        of_everyone(X=X.assign(account=[f"id{n}" for n in range(600)]))
