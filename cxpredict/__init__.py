"""Predictive customer experience: churn, satisfaction, drivers and return on experience.

Everything public is here: ``import cxpredict as cx``. Names are loaded when they are first used.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "cxpredict.errors": (
        "ConfigError",
        "CxPredictError",
        "DataError",
        "DriftError",
        "EmptyDataError",
        "LeakageError",
        "ModelError",
        "PerformanceError",
        "PublishError",
        "RejectShareError",
    ),
    "cxpredict.config": ("Config", "GateSettings", "load_config"),
    "cxpredict.data.log": ("CustomerLog",),
    "cxpredict.data.simulate": ("simulate_company",),
    "cxpredict.features.aggregates": ("default_aggregates",),
    "cxpredict.features.audit": ("audit_leakage",),
    "cxpredict.features.build": ("build_features", "feature_table"),
    "cxpredict.features.origin": ("Origin",),
    "cxpredict.features.store": ("FeatureStore",),
    "cxpredict.features.text.discover": ("discover_themes",),
    "cxpredict.features.text.scrub": ("scrub",),
    "cxpredict.features.text.sentiment": ("CommentSentiment",),
    "cxpredict.features.text.tagger": ("CommentTagger",),
    "cxpredict.features.text.themes": ("CommentThemes",),
    "cxpredict.features.problem": ("ChurnProblem", "SatisfactionProblem"),
    "cxpredict.models.calibration.shift": ("adjust_base_rate",),
    "cxpredict.models.churn": ("ChurnModel",),
    "cxpredict.models.evaluation": ("calibration_table", "compare", "evaluate", "interval_table"),
    "cxpredict.models.horizon": ("HorizonModel",),
    "cxpredict.models.satisfaction": ("SatisfactionModel",),
    "cxpredict.drivers.explain": ("explain",),
    "cxpredict.drivers.stability": ("driver_stability",),
    "cxpredict.drivers.survey.importance_performance": ("importance_performance",),
    "cxpredict.drivers.survey.key_drivers": ("key_drivers",),
    "cxpredict.drivers.survey.penalty_reward": ("penalty_reward",),
    "cxpredict.drivers.survey.touchpoint_table": ("touchpoint_table",),
    "cxpredict.value.customer_value": ("customer_value", "geometric_value"),
    "cxpredict.value.lifetime": ("CustomerValueModel",),
    "cxpredict.value.nps": ("nps", "nps_difference"),
    "cxpredict.value.nps.everyone": ("nps_of_everyone",),
    "cxpredict.value.nps.response": ("response_weights",),
    "cxpredict.value.outcomes": ("margins_by_period",),
    "cxpredict.value.profit": (
        "Beta",
        "CostMatrix",
        "break_even_interval",
        "break_even_probability",
        "campaign_gain",
        "compare_policies",
        "cost_scorer",
        "cost_threshold",
        "decision_cost",
        "expected_gain",
        "expected_maximum_profit",
        "gain_interval",
        "maximum_profit",
        "offer_costs",
        "profit_curve",
        "profit_scorer",
    ),
    "cxpredict.value.rox": ("return_on_experience",),
    "cxpredict.value.rox.answers": ("log_economics",),
    "cxpredict.value.rox.economics": ("group_economics",),
    "cxpredict.value.rox.growth": ("earned_growth", "log_earned_growth"),
    "cxpredict.value.rox.improvements": (
        "AnswerWithin",
        "RaiseScore",
        "ShareShift",
        "TestedEffect",
    ),
    "cxpredict.value.rox.occasions": ("measure_effect",),
    "cxpredict.value.rox.outcomes": ("Outcomes",),
    "cxpredict.action.targets": ("Offer", "rank_targets"),
    "cxpredict.jobs.registry.promote": ("promote",),
    "cxpredict.jobs.training.backtest": ("backtest",),
    "cxpredict.jobs.erasing.erase": ("erase",),
    "cxpredict.jobs.training.gate": ("GateDecision", "promotion_gate"),
    "cxpredict.jobs.scoring": ("score",),
    "cxpredict.jobs.scoring.one": ("Desk", "score_one"),
    "cxpredict.jobs.monitoring.baseline": ("learn_baseline",),
    "cxpredict.jobs.monitoring.drift": ("DriftCounts",),
    "cxpredict.jobs.monitoring.monitor": ("monitor",),
    "cxpredict.jobs.registry.versions": ("load_bundle",),
    "cxpredict.jobs.training.train": ("train",),
    "cxpredict.report.monitor": ("write_monitor_report",),
    "cxpredict.report.scores": ("write_scores_report",),
    "cxpredict.report.write": ("write_report",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'cxpredict' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
