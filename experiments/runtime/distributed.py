"""Jobs of several processes: start, agreement, synchronisation and end.

Every process runs the same program with the same flags. Only process 0, the *first*,
writes the shared files: a folder's configuration and the merged results. Without
``--distributed`` there is only one process.
"""

import collections
import contextlib
import faulthandler
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Self

import jax
import numpy as np
from absl import flags
from jax.experimental import multihost_utils
from tqdm import tqdm

from experiments.runtime import program
from experiments.runtime.stopping import StopSignal

_DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    False,
    "Run as one of several processes that share the work, each with its own devices. "
    "Where JAX cannot ask the cluster (it can on TPU VMs, Slurm and Kubernetes), give "
    "--coordinator_address, --num_processes and --process_id as well.",
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator_address", None, "Address of process 0, host:port, for --distributed."
)
_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "Number of processes, for --distributed.", lower_bound=1
)
_PROCESS = flags.DEFINE_integer(
    "process_id", None, "Number of this process, for --distributed.", lower_bound=0
)
_HEARTBEAT = flags.DEFINE_integer(
    "heartbeat_timeout",
    60,
    "Seconds without a sign of life after which a process counts as dead, and the "
    "others end, for --distributed.",
    lower_bound=5,
)


@contextlib.contextmanager
def job() -> Iterator[None]:
    """Makes this process part of the job while the context lasts.

    Enter it before any computation. A process with an error ends at once, without
    waiting for the others; they notice, report it and end as well.

    Raises:
      program.UsageError: The flags do not go together, or the processes did not meet.
    """
    if not _meet():
        yield
        return
    # If another process dies while this one computes, JAX reports it and aborts. A dump
    # of all threads would hide the message.
    faulthandler.disable()
    try:
        _check_devices()
        # On CPUs the first exchange must find all processes within half a minute. It is
        # done now, when they have just met; later one of them may be busy reading.
        wait_for_all("begin")
        yield
    except Exception as error:
        _end(error)
    except KeyboardInterrupt:
        os._exit(130)


def _meet() -> bool:
    """Meets the other processes; returns whether this is a job of several."""
    manual: dict[str, Any] = {
        "coordinator_address": _COORDINATOR.value,
        "num_processes": _PROCESSES.value,
        "process_id": _PROCESS.value,
    }
    given = [name for name, value in manual.items() if value is not None]
    if not _DISTRIBUTED.value:
        if given:
            raise program.UsageError(f"--{given[0]} is for --distributed")
        return False
    if given and len(given) < len(manual):
        lacks = next(name for name in manual if name not in given)
        raise program.UsageError(f"--{given[0]} goes with --{lacks}")
    address = _COORDINATOR.value
    if address is not None and not re.fullmatch(r".+:\d+", address):
        raise program.UsageError(f"--coordinator_address={address}: give host:port")
    if given:
        number = f"process {_PROCESS.value} of {_PROCESSES.value}"
        print(f"{number}, meeting at {address}", file=sys.stderr, flush=True)
    try:
        jax.distributed.initialize(**manual, heartbeat_timeout_seconds=_HEARTBEAT.value)
    except (RuntimeError, ValueError) as error:
        raise program.UsageError(
            "the processes did not meet; if JAX cannot detect the cluster, give "
            "--coordinator_address, --num_processes and --process_id "
            f"({' '.join(str(error).split())[:300]})"
        ) from error
    return True


def _check_devices() -> None:
    counts = collections.Counter(device.process_index for device in jax.devices())
    if len(set(counts.values())) > 1:
        raise program.UsageError(
            "every process must have as many devices as the others, not "
            f"{', '.join(str(counts[process]) for process in sorted(counts))}"
        )


class Stop:
    """Context that stops all processes when one of them gets a signal.

    A single process handles SIGTERM and SIGINT. With several, JAX handles SIGTERM in
    each and finds a step that none of them has passed.
    """

    def __init__(self) -> None:
        self._alone = StopSignal() if jax.process_count() == 1 else None

    def at(self, step: int) -> bool:
        """Whether to stop at this step; every process must call it at every step."""
        if self._alone is not None:
            return self._alone.received
        return bool(multihost_utils.reached_preemption_sync_point(step))

    def __enter__(self) -> Self:
        if self._alone is not None:
            self._alone.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._alone is not None:
            self._alone.__exit__()


def is_first() -> bool:
    """Whether this is process 0."""
    return jax.process_index() == 0


def say(line: str) -> None:
    """Prints a line in the first process, above a progress bar if there is one."""
    if is_first():
        tqdm.write(line)


def from_first(work: Callable[[], Any]) -> Any:
    """Calls a function in the first process and returns its result in all.

    Args:
      work: The function; its result must be a JSON value.

    Returns:
      The result of ``work``, after a round trip through JSON.

    Raises:
      program.UsageError: ``work`` raised it, in every process.
    """
    outcome: dict[str, Any] = {}
    if is_first():
        try:
            outcome = {"value": work()}
        except program.UsageError as error:
            outcome = {"error": str(error)}
    outcome = json.loads(_tell(json.dumps(outcome).encode()))
    if "error" in outcome:
        raise program.UsageError(outcome["error"])
    return outcome["value"]


def wait_for_all(what: str) -> None:
    """Waits until every process has called this function."""
    multihost_utils.sync_global_devices(what)


def _tell(message: bytes) -> bytes:
    """Sends the message of process 0 to every process."""
    if jax.process_count() == 1:
        return message
    size = multihost_utils.broadcast_one_to_all(np.int32(len(message)))
    padded = np.zeros(int(size), np.uint8)
    if is_first():
        padded[:] = np.frombuffer(message, np.uint8)
    return bytes(np.asarray(multihost_utils.broadcast_one_to_all(padded)))


def _end(error: Exception) -> None:
    """Reports an error and ends the process at once."""
    message = program.complaint(error)
    status = 1 if message is None else 2
    if isinstance(error, jax.errors.JaxRuntimeError) and _is_of_another(str(error)):
        message = (
            "the processes lost each other; if another one has died, its own output "
            "says why. What was done is kept: start the job again to go on "
            f"({str(error).splitlines()[0]})"
        )
    if message is None:
        traceback.print_exc()
    else:
        program.warn(message)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _is_of_another(message: str) -> bool:
    """Whether a message of the runtime means that another process is unreachable."""
    signs = ("Gloo", "Connection closed", "heartbeat", "coordination service")
    return any(sign in message for sign in signs)
