"""Timings of this project and of alternatives to it, in one run.

``python -m benchmarks`` runs them all; none of them is part of the tests.
"""

import experiments as experiments  # Before NumPy: it says how many threads LAPACK has.
