"""Repeat an experiment of known truth in parallel, and hold its result against a bar."""

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
from threadpoolctl import threadpool_limits


def repeat(experiment, repetitions, **settings):
    """Return ``experiment(seed, **settings)`` for as many seeds, in processes of one thread each.

    The experiment is a function at the top of its module. A repetition that raises ends the run:
    what an estimate refuses is its own answer, for the experiment to catch and to count.
    """
    seeds = range(1, repetitions + 1)
    once = partial(_alone, experiment, settings)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(once, seeds, chunksize=max(1, repetitions // 50)))


def _alone(experiment, settings, seed):
    with threadpool_limits(1):
        return experiment(seed, **settings)


def bar(name, value, bound, holds):
    return {"name": name, "value": value, "bound": bound, "holds": bool(holds)}


def within(name, value, low, high):
    return bar(name, float(f"{value:.5g}"), f"{low:g} .. {high:g}", low <= value <= high)


def at_most(name, value, bound):
    return bar(name, float(f"{value:.5g}"), f"<= {bound:g}", value <= bound)


def at_least(name, value, bound):
    return bar(name, float(f"{value:.5g}"), f">= {bound:g}", value >= bound)


def covers(name, hits):
    """Bar of 95 % intervals: they hold the truth in 93 to 97 % of the repetitions."""
    hits = np.asarray(hits, dtype=float)
    return within(f"{name}: coverage in {len(hits):,} repetitions", hits.mean(), 0.93, 0.97)


def rejects(name, p_values):
    """Bar of a test of size 5 % under its null: it rejects in 4 to 6 % of the repetitions."""
    p_values = np.asarray(p_values, dtype=float)
    size = (p_values < 0.05).mean()
    return within(f"{name}: size in {len(p_values):,} repetitions", size, 0.04, 0.06)
