"""Scikit-learn's contract, to the letter."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from cxpredict.models.churn import ChurnModel
from cxpredict.models.satisfaction import SatisfactionModel

WEIGHTS = (
    "LightGBM counts rows in its leaves, so that a row of weight 2 is not two rows "
    "(its own list of expected failures says the same)"
)
LOW_MARGIN = (
    "decision_function is one number per row, the log-odds of a LOW score, which is what "
    "contributions explain; the check wants one column per class, rising with the class"
)
EXPECTED = {
    "ChurnModel": {"check_sample_weight_equivalence_on_dense_data": WEIGHTS},
    "SatisfactionModel": {
        "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
        "check_classifiers_train": LOW_MARGIN,
        "check_classifiers_classes": LOW_MARGIN,
        "check_decision_proba_consistency": LOW_MARGIN,
    },
}


@parametrize_with_checks(
    [ChurnModel(random_state=0, n_jobs=1), SatisfactionModel(random_state=0, n_jobs=1)],
    expected_failed_checks=lambda estimator: EXPECTED[type(estimator).__name__],
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)
