"""Small groups are hidden by the rule of `cxpredict.data.suppression`, under its old name here."""

from cxpredict.data.suppression import MIN_RESPONDENTS, hidden_groups

__all__ = ["MIN_RESPONDENTS", "hidden_groups"]
