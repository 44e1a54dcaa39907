"""The programs, each of them a module that is run."""

import os

# Searches decompose one small matrix after another amid products on all cores, whose
# threads LAPACK's own would wait for. This has to be said before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
