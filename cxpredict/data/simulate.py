"""A simulated company with known truth, for the demo and for tests of statistical claims."""

from dataclasses import dataclass
from datetime import date

from cxpredict.data.log import CustomerLog
from cxpredict.data.simulated.frames import simulate_frames
from cxpredict.data.simulated.truth import Truth

OBSERVED_UNTIL = date(2026, 1, 1)


@dataclass(frozen=True)
class SimulatedCompany:
    """A company's log and the truth behind it.

    Parameters
    ----------
    log : CustomerLog
        What the company knows.
    truth : Truth
        What it cannot know: true hazards, drivers, effects of contacts, silent customers' scores.
    """

    log: CustomerLog
    truth: Truth


def simulate_company(n_customers: int, *, seed: int) -> SimulatedCompany:
    """Simulate a subscription company over the 24 months of 2024 and 2025.

    Parameters
    ----------
    n_customers : int
        Number of customers, at least 1. Nearly every second one joins within the 24 months.
    seed : int
        At least 0. Equal numbers and seeds give equal companies.

    Returns
    -------
    SimulatedCompany
        With `.log` and `.truth`.

    Raises
    ------
    DataError
        If `n_customers` or `seed` is not such a number.

    Examples
    --------
    >>> company = simulate_company(50, seed=7)
    >>> company.truth.drivers.loc[0, "driver"]
    'failures'
    """
    frames, truth = simulate_frames(n_customers, seed=seed)
    log = CustomerLog.from_frames(**frames, observed_until=OBSERVED_UNTIL)
    return SimulatedCompany(log, truth)
