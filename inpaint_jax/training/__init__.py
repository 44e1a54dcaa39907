"""Training: one step function a network, recipes, what trainings share."""


class CheckpointError(ValueError):
    """A checkpoint cannot be read or written; the message is one line that says why."""
