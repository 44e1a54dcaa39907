"""Layers, networks, and the forms of the networks that are searched."""
