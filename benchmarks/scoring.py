"""How fast are customers scored? ``python benchmarks/scoring.py [--json] [--quick]``.

Probability, interval and reasons for a million customers, one customer at a time, one machine and
Spark. One part is one module ``scoring_<part>.py`` with a function ``bars(scale)``, where a scale
of 1 is the full measurement; ``--only`` runs one of them.
"""

from parts import run_parts

if __name__ == "__main__":
    run_parts("scoring", __doc__)
