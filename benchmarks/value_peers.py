"""Peers of the customer value model: RFM averages, and BG/NBD with Gamma-Gamma.

Written from the formulas of Fader, Hardie and Lee (2005), "Counting your customers" the easy way,
and Fader and Hardie (2013), The Gamma-Gamma model of monetary value; scipy maximises.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1

WEEK = 7
_CUTS = (0.2, 0.4, 0.6, 0.8)


def rfm_average(train, realised, test, columns):
    """Return of each test customer the mean realised value of its RFM cell (quintiles)."""
    edges = [np.quantile(train[c], _CUTS) for c in columns]

    def cells(table):
        codes = [np.searchsorted(e, table[c]) for e, c in zip(edges, columns, strict=True)]
        return codes[0] * 25 + codes[1] * 5 + codes[2]

    mean = pd.Series(realised).groupby(cells(train)).mean()
    return pd.Series(cells(test)).map(mean).fillna(np.mean(realised)).to_numpy()


def fit_bgnbd(x, t_x, t):
    """Return r, alpha, a, b of repeat purchases x, the last at t_x, observed until t."""

    def loss(logs):
        r, alpha, a, b = np.exp(logs)
        buys = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        stays = betaln(a, b + x) - betaln(a, b)
        alive = -(r + x) * np.log(alpha + t)
        gone = np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * np.log(alpha + t_x)
        return -(buys + stays + np.where(x > 0, np.logaddexp(alive, gone), alive)).mean()

    starts = ([0, 2, 0, 0], [-1, 1.5, -0.3, 1])
    found = [minimize(loss, s, method="L-BFGS-B", bounds=[(-7, 7)] * 4) for s in starts]
    return np.exp(min(found, key=lambda each: each.fun).x)


def expected_purchases(parameters, x, t_x, t, ahead):
    """Return the expected number of purchases in the time ahead (equation 10)."""
    r, alpha, a, b = parameters
    z = ahead / (alpha + t + ahead)
    shrunk = ((alpha + t) / (alpha + t + ahead)) ** (r + x) * hyp2f1(r + x, b + x, a + b + x - 1, z)
    gone = a / (b + np.maximum(x, 1) - 1) * ((alpha + t) / (alpha + t_x)) ** (r + x)
    return (a + b + x - 1) / (a - 1) * (1 - shrunk) / (1 + np.where(x > 0, gone, 0.0))


def fit_gamma_gamma(x, mean):
    """Return p, q, gamma of mean amounts of x repeat purchases."""

    def loss(logs):
        p, q, g = np.exp(logs)
        shape = gammaln(p * x + q) - gammaln(p * x) - gammaln(q)
        rest = (p * x - 1) * np.log(mean) + p * x * np.log(x) - (p * x + q) * np.log(g + mean * x)
        return -(shape + q * np.log(g) + rest).mean()

    return np.exp(minimize(loss, [1, 1, 3], method="Nelder-Mead", options={"maxiter": 4000}).x)


def expected_amount(parameters, x, mean):
    p, q, g = parameters
    return p * (g + mean * x) / (p * x + q - 1)


def bgnbd_value(purchases, customers, as_of, days):
    """Return the expected amount of each customer in so many days after a date."""
    before = purchases[purchases["occurred_at"] < as_of]
    day = before.assign(day=before["occurred_at"].dt.normalize())
    daily = day.groupby(["customer_id", "day"])["amount"].sum().reset_index()
    spans = daily.groupby("customer_id")["day"].agg(["min", "max", "size"])
    x = (spans["size"] - 1).to_numpy(float)
    t_x = ((spans["max"] - spans["min"]).dt.days / WEEK).to_numpy()
    t = ((as_of - spans["min"]).dt.days / WEEK).to_numpy()
    repeats = daily[daily["day"] > daily["customer_id"].map(spans["min"])]
    mean = repeats.groupby("customer_id")["amount"].mean().reindex(spans.index).to_numpy()
    paid = mean > 0
    amounts = fit_gamma_gamma(x[paid], mean[paid])
    each = expected_amount(amounts, np.where(paid, x, 0.0), np.where(paid, mean, 0.0))
    often = expected_purchases(fit_bgnbd(x, t_x, t), x, t_x, t, days / WEEK)
    return pd.Series(often * each, index=spans.index).reindex(customers).to_numpy()


def simulate_bgnbd(seed, n, r, alpha, a, b, weeks, ahead):
    """Draw customers of known parameters: x, t_x and t, and purchases in the weeks ahead."""
    rng = np.random.default_rng(seed)
    rate, drop = rng.gamma(r, 1 / alpha, n), rng.beta(a, b, n)
    t = rng.uniform(0.7 * weeks, weeks, n)
    x, t_x, later, now = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    alive = np.ones(n, dtype=bool)
    while alive.any():
        now[alive] += rng.exponential(1 / np.maximum(rate[alive], 1e-12))
        alive &= now < t + ahead
        seen = alive & (now <= t)
        x[seen] += 1
        t_x[seen] = now[seen]
        later[alive & ~seen] += 1
        alive &= rng.random(n) >= drop
    return x, t_x, t, later
