"""Graceful shutdown on signals, and the end of a training that diverged."""

import signal
from typing import Any, Self

from experiments.runtime import program
from inpaint_jax.training import updates
from inpaint_jax.training.checkpoints import Checkpoints


class StopSignal:
    """Context that notes SIGTERM and SIGINT, so that a run can save its work and end.

    A second signal has its usual effect and ends the process at once.
    """

    def __init__(self) -> None:
        self.received = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        self.received = True
        self.__exit__()


def check_finite(tree: Any, step: int, checkpoints: Checkpoints) -> None:
    """Ends a run that diverged, before the state is saved.

    A number that is not finite never becomes finite again, so it is enough to check
    figures that are logged and states that are saved.

    Args:
      tree: The state and the figures after ``step``.
      step: Number of steps done.
      checkpoints: The run's checkpoints.

    Raises:
      program.UsageError: A number is not finite.
    """
    if updates.is_finite(tree):
        return
    good = checkpoints.latest_step
    raise program.UsageError(
        f"training diverged: NaN or infinity at or before step {step}; the last good "
        f"checkpoint is {'none' if good is None else f'of step {good}'}. "
        "Try a lower --learning_rate or another --seed"
    )
