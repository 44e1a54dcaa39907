"""Training: a step function for each network, recipes, and shared parts."""


class CheckpointError(ValueError):
    """A checkpoint cannot be read or written; the message is one line."""
