"""Saving and restoring of training states; only this module calls Orbax."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import jax
import orbax.checkpoint as ocp
import tensorstore as ts

from inpaint_jax.training import CheckpointError

_ITEM = "default"  # Orbax's name of the only item in a checkpoint.
_PART = "ocdbt.process_"  # Prefix of the part that a process writes.
_MANIFEST = "manifest.ocdbt"  # File that joins the parts.
_UNFINISHED = ".orbax-checkpoint-tmp"

# Orbax and TensorStore give some characters of a path a meaning that they do not have
# in the file system: brackets, stars and question marks are patterns, a backslash is a
# slash, and `gs:/` is a server.
_PLAIN = re.compile(r"[\w /.,+=@~#%$()&!{}'^;-]*")
_LONG = 1024  # Characters; with what Orbax appends a path must stay below the limit.


class State(Protocol):
    """A named tuple with the number of steps done, such as ``gan.TrainState``."""

    @property
    def step(self) -> jax.Array: ...

    def _asdict(self) -> dict[str, Any]: ...


_State = TypeVar("_State", bound=State)


class Checkpoints:
    """The checkpoints of one training run: ``<workdir>/<name>/<step>``.

    Saving is asynchronous and atomic: Orbax writes under a temporary name and renames,
    so a killed run leaves its last complete checkpoint intact. A context manager;
    leaving it waits for the last save.

    Args:
      workdir: Folder of the run; made if missing. The path may hold any characters.
      name: Name of the folder in it: ``checkpoints`` for the latest, or ``best``.
      keep: Number of checkpoints to keep, the latest ones.
      read_only: Whether to refrain from making, changing and deleting files.

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
        self._folder = (workdir / name).absolute()  # Orbax refuses relative paths.
        if read_only and not self._folder.is_dir():
            raise CheckpointError(f"{workdir} has no checkpoint yet")
        if not read_only:
            self._folder.mkdir(parents=True, exist_ok=True)
        # Orbax's own read_only does the same, but logs three lines of warning.
        options = ocp.CheckpointManagerOptions(
            max_to_keep=None if read_only else keep, create=False
        )
        with contextlib.ExitStack() as held:
            self._alias = held.enter_context(_plain_path(self._folder))
            self._manager = ocp.CheckpointManager(self._alias, options=options)
            self._held = held.pop_all()

    @property
    def latest_step(self) -> int | None:
        """Step of the newest complete checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, state: State) -> None:
        """Saves ``state`` under its own step, unless that step is already there.

        Raises:
          CheckpointError: This checkpoint, or the one before, cannot be written.
        """
        step = int(state.step)
        if step != self.latest_step:
            with self._writing():
                self._manager.save(step, args=ocp.args.StandardSave(state._asdict()))

    def restore(self, like: _State) -> _State:
        """The newest checkpoint, placed on devices as ``like`` is.

        Args:
          like: A state of the same shapes, such as that of ``init_state``; its values
            are not used. With shapes alone, all arrays go to the first device.

        Raises:
          CheckpointError: There is no checkpoint, or it is damaged or of other shapes.
        """
        step = self.latest_step
        if step is None:
            raise CheckpointError(f"{self._folder.parent} has no checkpoint yet")
        first = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        target = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=leaf.sharding or first
            ),
            like._asdict(),
        )
        wanted = ocp.args.StandardRestore(target)
        checkpoint = self._folder / str(step)
        try:
            if _is_in_parts(checkpoint):
                with _joined(checkpoint) as whole, ocp.CheckpointManager(whole) as own:
                    restored = own.restore(step, args=wanted)
            else:
                restored = self._manager.restore(step, args=wanted)
        except Exception as error:  # TensorStore and Orbax raise errors of many kinds.
            raise CheckpointError(
                f"the checkpoint {checkpoint} cannot be read; move that folder away to "
                f"go on without it ({self._reason(error)})"
            ) from error
        return type(like)(**restored)

    def wait(self) -> None:
        """Waits until every saved checkpoint is on the disk.

        Raises:
          CheckpointError: A checkpoint cannot be written.
        """
        with self._writing():
            self._manager.wait_until_finished()

    def forget_after(self, step: int) -> None:
        """Deletes the checkpoints of steps later than ``step``."""
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
        # After an error pending saves are still completed, but a second error must not
        # hide the first.
        quietly = contextlib.suppress(Exception)
        with self._held, self._writing() if error is None else quietly:
            try:
                self._manager.wait_until_finished()
            finally:
                self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns any exception of Orbax and TensorStore into a ``CheckpointError``.

        They write in their own threads and raise at the next call, whichever it is.
        """
        try:
            yield
        except Exception as error:
            names = [each.name for each in self._folder.iterdir()]
            # Incomplete checkpoints are called `4.orbax-checkpoint-tmp`.
            whole = [int(name) for name in names if name.isdecimal()]
            good = f"of step {max(whole)}" if whole else "none"
            raise CheckpointError(
                f"a checkpoint cannot be written to {self._folder}: "
                f"{self._reason(error)}; the last good one there is {good}"
            ) from error

    def _reason(self, error: Exception) -> str:
        """The system's error message, or else the beginning of the exception's text."""
        text = str(error)
        number = re.search(r"\[os_error_code='(\d+)'", text)
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        if number:
            return os.strerror(int(number[1]))
        first = text.splitlines()[0] if text else type(error).__name__
        return first.replace(str(self._alias), str(self._folder))[:160]


@contextlib.contextmanager
def _plain_path(folder: Path) -> Iterator[Path]:
    """A path to ``folder`` that Orbax and TensorStore cannot misread.

    Raises:
      CheckpointError: This system offers no such path.
    """
    path = str(folder)
    if len(os.fsencode(path)) <= _LONG and _PLAIN.fullmatch(path):
        yield folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        alias = Path(f"/proc/self/fd/{descriptor}")
        if not alias.is_dir():  # Only Linux has it.
            raise CheckpointError(
                f"checkpoints cannot be kept in {folder}: give a shorter path, of "
                "letters, digits, spaces and ._-"
            )
        yield alias
    finally:
        os.close(descriptor)


def _parts(checkpoint: Path) -> dict[str, Path]:
    """The content of a checkpoint's item, by name, wherever it was written.

    For a path with a backslash TensorStore wrote to another folder, and there into the
    temporary folder, which was never renamed.
    """
    folders = [checkpoint / _ITEM]
    temporary = checkpoint.with_name(checkpoint.name + _UNFINISHED)
    misread = str(temporary / f"{_ITEM}{_UNFINISHED}").replace("\\", "/")
    if "\\" in str(checkpoint):
        folders.append(Path(misread))
    return {
        each.name: each
        for folder in folders
        if folder.is_dir()
        for each in folder.iterdir()
    }


def _is_in_parts(checkpoint: Path) -> bool:
    """Whether a checkpoint was written by Orbax to a path that it misread.

    Such a checkpoint is complete, but the parts of the processes are not joined.
    """
    names = _parts(checkpoint)
    return _MANIFEST not in names and any(name.startswith(_PART) for name in names)


@contextlib.contextmanager
def _joined(checkpoint: Path) -> Iterator[Path]:
    """A temporary folder with the checkpoint, its parts joined.

    Nothing is copied, and nothing is changed in the run's folder, which may be read
    only.
    """
    with (
        tempfile.TemporaryDirectory() as temporary,
        _plain_path(Path(temporary)) as folder,
    ):
        whole = folder / checkpoint.name
        item = whole / _ITEM
        item.mkdir(parents=True)
        for each in checkpoint.iterdir():
            if each.name != _ITEM:
                (whole / each.name).symlink_to(each)
        names = _parts(checkpoint)
        for name, each in names.items():
            (item / name).symlink_to(each)

        context = ts.Context()  # Only stores of the same context can be joined.

        def open_store(path: Path) -> ts.KvStore:
            base = {"driver": "file", "path": f"{path}/"}
            spec = {"driver": "ocdbt", "base": base}
            return ts.KvStore.open(spec, context=context).result()

        store = open_store(item)
        with ts.Transaction(atomic=True) as transaction:
            for name in names:
                if name.startswith(_PART):
                    part = open_store(item / name)
                    part.experimental_copy_range_to(
                        store.with_transaction(transaction)
                    ).result()
        yield folder
