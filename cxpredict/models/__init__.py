"""Churn and satisfaction models with calibrated probabilities."""
