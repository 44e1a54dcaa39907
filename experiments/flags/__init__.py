"""Flags that several programs have."""
