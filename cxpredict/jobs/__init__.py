"""Bundles, tracking, training, scoring and publishing."""
