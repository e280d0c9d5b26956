"""Does nothing break, tear or leak? ``python benchmarks/faults.py [--json] [--quick]``.

Jobs that are killed, disks that are full, many processes at once, changed bundles, mutated inputs,
hostile text, canaries. One part is one module ``faults_<part>.py`` with a function ``bars(scale)``,
where a scale of 1 is the full measurement; ``--only`` runs one of them.
"""

from parts import run_parts

if __name__ == "__main__":
    run_parts("faults", __doc__)
