"""Measures of sets of images, and of a generator."""
