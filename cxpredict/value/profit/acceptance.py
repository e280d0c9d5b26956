"""How many would-be leavers accept an offer: a number, or a distribution that says how surely."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import stats

from cxpredict.data.checks import Floats, check_level, in_range
from cxpredict.errors import DataError


@dataclass(frozen=True)
class Beta:
    """A Beta distribution of the share of would-be leavers who take an offer and stay.

    Parameters
    ----------
    alpha, beta : float > 0
        Parameters. The mean is alpha / (alpha + beta); the larger their sum, the surer.

    Raises
    ------
    DataError
        If a parameter is not a positive number.

    Notes
    -----
    The share is the same for all customers of a campaign, and unknown: all gains move up or down
    together, so that many customers do not make the total any surer.

    Examples
    --------
    >>> Beta(6, 14).mean
    0.3
    >>> [round(end, 3) for end in Beta(6, 14).interval()]
    [0.126, 0.512]
    """

    alpha: float
    beta: float

    def __post_init__(self) -> None:
        for name in ("alpha", "beta"):
            given = getattr(self, name)
            number = in_range(name, given, 0.0)
            if number.ndim or not number > 0:
                raise DataError(f"{name}: expected one number above 0, got {given!r}.")
            object.__setattr__(self, name, float(number))

    @classmethod
    def from_mean(cls, mean: float, *, standard_deviation: float) -> Self:
        """Make the distribution of a mean and a standard deviation.

        Parameters
        ----------
        mean : float in (0, 1)
            Share expected to accept.
        standard_deviation : float > 0
            How far off that may be; its square is below mean·(1 − mean).

        Raises
        ------
        DataError
            If no Beta distribution has these.

        Notes
        -----
        alpha + beta = mean·(1 − mean) / standard_deviation² − 1.

        Examples
        --------
        >>> Beta.from_mean(0.3, standard_deviation=0.1)
        Beta(alpha=6.0, beta=14.0)
        """
        middle = float(in_range("mean", mean, 0.0, 1.0))
        spread = float(in_range("standard_deviation", standard_deviation, 0.0, 1.0))
        if not 0 < spread**2 < middle * (1 - middle):
            raise DataError(
                "standard_deviation: expected a number above 0 with a square below "
                f"mean·(1 − mean) = {middle * (1 - middle):.4g}, got {standard_deviation!r}."
            )
        # Rounded, because 0.1² is no decimal fraction: 6, not 5.999999999999998.
        total = middle * (1 - middle) / spread**2 - 1
        return cls(round(middle * total, 12), round((1 - middle) * total, 12))

    @classmethod
    def from_trial(cls, *, accepted: int, offered: int) -> Self:
        """Estimate acceptance from an earlier trial.

        Parameters
        ----------
        accepted : int ≥ 0
            Would-be leavers who took the offer and stayed.
        offered : int ≥ 1
            Would-be leavers who had the offer.

        Raises
        ------
        DataError
            If they are no counts, or more accepted than were asked.

        Notes
        -----
        Posterior under Jeffreys' prior, Beta(accepted + ½, offered − accepted + ½); its intervals
        hold the true share about as often as they say (Brown, Cai and DasGupta 2001). Who would
        have left is known of customers who gave notice, or from a hold-out, not of all contacted.

        Examples
        --------
        >>> Beta.from_trial(accepted=6, offered=20)
        Beta(alpha=6.5, beta=14.5)
        """
        counts = in_range("accepted and offered", [accepted, offered], 0.0)
        if (counts != np.round(counts)).any() or not 0 <= counts[0] <= counts[1] or counts[1] < 1:
            raise DataError(
                "accepted and offered: expected whole numbers, at least 1 offered and no more "
                f"accepted than offered, got {accepted!r} and {offered!r}."
            )
        return cls(counts[0] + 0.5, counts[1] - counts[0] + 0.5)

    @property
    def mean(self) -> float:
        """The share expected to accept."""
        return self.alpha / (self.alpha + self.beta)

    def quantile(self, probability: Any) -> Any:
        """Return the share that acceptance stays below with a probability."""
        return stats.beta.ppf(probability, self.alpha, self.beta)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the ends between which acceptance lies with probability `level`."""
        check_level(level)
        low, high = self.quantile([(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def above(self, share: Any) -> Floats:
        """Return the probability that acceptance is above a share."""
        return np.asarray(stats.beta.sf(share, self.alpha, self.beta), dtype=np.float64)

    def masses(self, cuts: Floats) -> tuple[Floats, Floats]:
        """Return ∫ dF(γ) and ∫ γ dF(γ) between each two neighbours of rising cuts in [0, 1]."""
        mass = np.diff(stats.beta.cdf(cuts, self.alpha, self.beta))
        return mass, self.mean * np.diff(stats.beta.cdf(cuts, self.alpha + 1, self.beta))


def mean_acceptance(acceptance: Any) -> Any:
    """Return what enters an expectation that is linear in acceptance."""
    return acceptance.mean if isinstance(acceptance, Beta) else acceptance


def one_acceptance(acceptance: Any) -> float:
    """Return the mean of a distribution or one plain share; refuse one per customer."""
    share = in_range("acceptance", mean_acceptance(acceptance), 0.0, 1.0)
    if share.ndim:
        raise DataError(
            "acceptance: expected one share or a Beta distribution for all customers, got "
            f"{share.size} numbers. Where groups accept differently, estimate them one by one."
        )
    return float(share)
