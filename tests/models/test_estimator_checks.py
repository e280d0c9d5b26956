"""Scikit-learn's contract, to the letter."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from cxpredict.models.churn import ChurnModel
from cxpredict.models.satisfaction import SatisfactionModel

WEIGHTS = (
    "LightGBM counts rows in its leaves, so that a row of weight 2 is not two rows "
    "(its own list of expected failures says the same)"
)
EXPECTED = {"check_sample_weight_equivalence_on_dense_data": WEIGHTS}


@parametrize_with_checks(
    [
        ChurnModel(effort="fast", random_state=0, n_jobs=1),
        SatisfactionModel(effort="fast", random_state=0, n_jobs=1),
    ],
    expected_failed_checks=lambda estimator: EXPECTED,
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)
