"""Saving and restoring training states; every call of Orbax is in this file."""

from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import jax
import orbax.checkpoint as ocp


class State(Protocol):
    """A named tuple with the number of steps done: ``gan.TrainState``, for one."""

    @property
    def step(self) -> jax.Array: ...

    def _asdict(self) -> dict[str, Any]: ...


_State = TypeVar("_State", bound=State)


class CheckpointError(ValueError):
    """A checkpoint cannot be read; the message is one line that says what to do."""


class Checkpoints:
    """The checkpoints of one training run: ``<workdir>/<name>/<step>``.

    Saving is asynchronous and atomic: Orbax writes under a temporary name and
    renames, so a killed run leaves the last whole checkpoint and nothing else that
    counts. A context manager; leaving it waits for the last save.

    Args:
      workdir: Folder of the run; made when missing.
      name: Of the folder in it: ``checkpoints``, the latest, or ``best``.
      keep: How many of the latest checkpoints stay.
      read_only: Whether to make, change and delete nothing.

    Raises:
      CheckpointError: ``read_only``, and there are no checkpoints.
    """

    def __init__(
        self,
        workdir: Path,
        name: str = "checkpoints",
        *,
        keep: int = 2,
        read_only: bool = False,
    ):
        folder = (workdir / name).absolute()  # Orbax refuses relative paths.
        if read_only and not folder.is_dir():
            raise CheckpointError(f"{workdir} has no checkpoint yet")
        # Orbax's own read_only does the same and warns of it, three lines each time.
        options = ocp.CheckpointManagerOptions(
            max_to_keep=None if read_only else keep, create=not read_only
        )
        self._manager = ocp.CheckpointManager(folder, options=options)

    @property
    def latest_step(self) -> int | None:
        """Step of the newest whole checkpoint, None when there is none."""
        return self._manager.latest_step()

    def save(self, state: State) -> None:
        """Saves ``state`` under its own step, unless that step is already there."""
        step = int(state.step)
        if step != self.latest_step:
            self._manager.save(step, args=ocp.args.StandardSave(state._asdict()))

    def restore(self, like: _State) -> _State:
        """The newest checkpoint, placed on devices as ``like`` is.

        Args:
          like: A state of the same shapes, ``init_state``'s; its values are unused.
            Shapes alone will do: then all goes to the first device.

        Raises:
          CheckpointError: There is none, or it is damaged or of other shapes.
        """
        step, folder = self.latest_step, Path(self._manager.directory)
        if step is None:
            raise CheckpointError(f"{folder.parent} has no checkpoint yet")
        first = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        target = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=leaf.sharding or first
            ),
            like._asdict(),
        )
        try:
            restored = self._manager.restore(
                step, args=ocp.args.StandardRestore(target)
            )
        except Exception as error:  # TensorStore and Orbax raise nearly every kind.
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CheckpointError(
                f"the checkpoint {folder / str(step)} cannot be read; delete that "
                f"folder to go on without it ({reason[:120]})"
            ) from error
        return type(like)(**restored)

    def wait(self) -> None:
        """Returns when what was saved is on the disk."""
        self._manager.wait_until_finished()

    def forget_after(self, step: int) -> None:
        """Deletes the checkpoints of later steps than ``step``."""
        for later in self._manager.all_steps():
            if later > step:
                self._manager.delete(later)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.wait()
        self._manager.close()
