"""Filling holes: reading, masks, methods, measuring, writing."""
