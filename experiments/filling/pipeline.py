"""The way from pictures with holes to completed ones, the same in every program.

The next batch is read while the devices fill one, and what they filled is measured and
written meanwhile. An image's result hangs on its name and the seed, not on the batch,
the devices or the images beside it.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import jax
from jax.sharding import Mesh
from tqdm import tqdm

from experiments.filling import batches
from experiments.filling.methods import Found, Method, Prepared
from experiments.filling.problems import Problems
from experiments.runtime import distributed, overlap
from experiments.runtime.stopwatch import Stopwatch
from inpaint_jax import parallel, pixels


@dataclasses.dataclass(frozen=True)
class Job:
    """Holes to be filled, and how.

    Attributes:
      problems: The pictures with holes.
      method: The way to fill them.
      seed: Of masks and searches.
      batch_size: Searches that run at once, on all devices of all processes together.
    """

    problems: Problems
    method: Method
    seed: int
    batch_size: int


def fill(
    job: Job,
    indices: Sequence[int],
    write: Callable[[list[batches.Result]], object],
    *,
    mesh: Mesh,
    stopped: Callable[[int], bool] = lambda step: False,
) -> bool:
    """Fills holes, batch by batch; of several processes, this one's share.

    Args:
      job: What is to be done.
      indices: Which of the pictures, the same in all processes.
      write: Called with what became of each batch, in order, in a thread of its own;
        it writes.
      mesh: The devices.
      stopped: Asked before each batch, with its number, and at the end, whether to
        stop there.

    Returns:
      Whether it was stopped.
    """
    size, processes = _local_size(job, mesh), jax.process_count()
    mine = indices[jax.process_index() :: processes]
    # As many rounds in every process: one that has no image left does empty ones.
    rounds = math.ceil(math.ceil(len(indices) / processes) / size)
    shares = [mine[i * size : (i + 1) * size] for i in range(rounds)]
    total = len(job.problems)
    done = total - len(indices)
    with (
        tqdm(
            total=total,
            initial=done,
            unit="image",
            disable=None if distributed.is_first() else True,
            bar_format="{l_bar}{bar}| {n:.0f}/{total_fmt} [{elapsed}<{remaining}, "
            "{rate_fmt}]",
        ) as bar,
        overlap.Behind() as writer,
    ):

        def progress(count: float) -> None:
            bar.update(min(count * processes, bar.total - bar.n))

        def read(share: Sequence[int]) -> batches.Batch:
            return batches.read(job.problems, share, size, job.seed)

        def measure_and_write(
            batch: batches.Batch, found: Found | None, seconds: float
        ) -> None:
            name = f"--method={job.method.name}"
            write(batches.measure(batch, found, seconds, name))

        method = job.method.prepare(progress, mesh)
        for step, batch in enumerate(overlap.ahead(read, shares)):
            if stopped(step):
                return True
            found, seconds = _fill(method, batch)
            writer.call(measure_and_write, batch, found, seconds)
            done += processes * len(shares[step])
            bar.update(min(done, total) - bar.n)
    return stopped(rounds)


def _local_size(job: Job, mesh: Mesh) -> int:
    """How many images this process fills at once.

    Their candidates can be divided among its devices.
    """
    devices, candidates = parallel.local_size(mesh), job.method.candidates
    unit = devices // math.gcd(devices, candidates)
    count = min(job.batch_size // candidates, len(job.problems))
    return unit * math.ceil(count / jax.process_count() / unit)


def _fill(method: Prepared, batch: batches.Batch) -> tuple[Found | None, float]:
    """What was found for a batch, and the seconds that an image took."""
    count = len(batch.problems)
    if not count and (jax.process_count() == 1 or not method.whole):
        return None, 0.0
    # Copies that fill a batch up are as much work as others.
    count = len(batch.images) if method.whole else count
    with Stopwatch() as watch:
        found = method.fill(
            pixels.to_float(batch.images[:count]),
            batch.masks[:count],
            batch.keys[:count],
        )
    return found, watch.seconds / count
