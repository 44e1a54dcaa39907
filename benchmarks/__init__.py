"""Timings of this project beside what people would use instead, in one run.

``python -m benchmarks`` runs them all; nothing in here is part of the tests.
"""
