"""Saving and restoring training states; every call of Orbax is in this file."""

from pathlib import Path
from types import TracebackType
from typing import Self

import jax
import orbax.checkpoint as ocp

from inpaint_jax.gan import TrainState


class Checkpoints:
    """The checkpoints of one training run: ``<workdir>/checkpoints/<step>``.

    Saving is asynchronous and atomic: Orbax writes under a temporary name and
    renames, so a killed run leaves the last whole checkpoint and nothing else that
    counts. A context manager; leaving it waits for the last save.

    Args:
      workdir: Folder of the run; made when missing.
      keep: How many of the latest checkpoints stay.
    """

    def __init__(self, workdir: Path, keep: int = 2):
        self._manager = ocp.CheckpointManager(
            (workdir / "checkpoints").absolute(),  # Orbax refuses relative paths.
            options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True),
        )

    @property
    def latest_step(self) -> int | None:
        """Step of the newest whole checkpoint, None when there is none."""
        return self._manager.latest_step()

    def save(self, state: TrainState) -> None:
        """Saves ``state`` under its own step, unless that step is already there."""
        step = int(state.step)
        if step != self.latest_step:
            self._manager.save(step, args=ocp.args.StandardSave(state._asdict()))

    def restore(self, like: TrainState) -> TrainState:
        """The newest checkpoint, placed on devices as ``like`` is.

        Args:
          like: A state of the same shapes, ``init_state``'s; its values are unused.

        Raises:
          FileNotFoundError: There is no checkpoint.
          ValueError: The checkpoint's shapes are not those of ``like``.
        """
        target = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=leaf.sharding
            ),
            like._asdict(),
        )
        if self.latest_step is None:
            raise FileNotFoundError(f"no checkpoint in {self._manager.directory}")
        restored = self._manager.restore(
            self.latest_step, args=ocp.args.StandardRestore(target)
        )
        return TrainState(**restored)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._manager.wait_until_finished()
        self._manager.close()
