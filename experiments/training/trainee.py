"""The contract of what can be trained, and what its kinds share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from inpaint_jax.data import datasets
from inpaint_jax.pixels import to_float

Row = Mapping[str, Any]
"""A line of metrics.jsonl or quality.jsonl."""

SAMPLES = 64
"""Images that show the progress of training."""
JUDGED = 1000
"""Greatest number of held-back images that are used."""


class Trainee(Protocol):
    """A kind of network, with its recipe and training images.

    The state that ``samples`` and ``judge`` take is in NumPy (``parallel.local``).

    Attributes:
      recipe: Settings of the training.
    """

    recipe: Any

    def init_state(self) -> Any:
        """The state before the first step."""

    def train_step(
        self, state: Any, images: jax.Array, mesh: Mesh | None
    ) -> tuple[Any, Any]:
        """The next state and the step's figures, a named tuple of small arrays."""

    def samples(self, state: Any) -> np.ndarray:
        """Images ``[64, S, S, 3]`` in [-1, 1] that show the progress of training."""

    def say_step(self, row: Row) -> str:
        """A row of metrics.jsonl as text for the progress bar."""

    def write_curves(
        self,
        path: Path,
        steps: Sequence[Row],
        verdicts: Sequence[Row],
        best: int | None,
    ) -> None:
        """Writes a PNG with the curves of the training."""


@runtime_checkable
class Judged(Trainee, Protocol):
    """A trainee whose checkpoints are compared by a criterion.

    Attributes:
      criterion: Name of the figure of ``judge`` that is lowest for the best checkpoint.
    """

    criterion: str

    def judge(self, state: Any) -> dict[str, Any]:
        """Figures on held-back images."""

    def say_verdict(self, row: Row) -> str:
        """A row of quality.jsonl as text for the terminal."""


def to_judge_with(held_back: datasets.Dataset) -> np.ndarray:
    """The held-back images ``[N, S, S, 3]`` in [-1, 1], or some of them."""
    if len(held_back) > JUDGED:
        _, held_back = datasets.hold_back(held_back, JUDGED)
    return to_float(held_back.images)
