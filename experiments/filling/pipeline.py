"""The pipeline from pictures with holes to completed ones, the same in every program.

While the devices fill a batch, the next one is read, and the one before is measured and
written. An image's result depends on its name and the seed, not on the batch, the
devices or the other images.
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
      method: The method to fill them.
      seed: Seed of masks and searches.
      batch_size: Number of searches that run at once, on all devices of all processes
        together.
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
    """Fills holes, batch by batch; each of several processes does its own share.

    Args:
      job: The pictures and the method.
      indices: Indices of the pictures to do, the same in all processes.
      write: Called with the results of each batch, in order, in another thread, to
        write them.
      mesh: The devices.
      stopped: Called with the number of each batch before it, and at the end; if it
        returns True, the work stops there.

    Returns:
      Whether the work was stopped.
    """
    size, processes = _local_size(job, mesh), jax.process_count()
    mine = indices[jax.process_index() :: processes]
    # Every process does the same number of rounds, empty ones if it has no image left.
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
    """The number of images that this process fills at once.

    The number of their candidates is a multiple of the number of devices.
    """
    devices, candidates = parallel.local_size(mesh), job.method.candidates
    unit = devices // math.gcd(devices, candidates)
    count = min(job.batch_size // candidates, len(job.problems))
    return unit * math.ceil(count / jax.process_count() / unit)


def _fill(method: Prepared, batch: batches.Batch) -> tuple[Found | None, float]:
    """The method's output for a batch, and the seconds per image."""
    count = len(batch.problems)
    if not count and (jax.process_count() == 1 or not method.whole):
        return None, 0.0
    # Copies that pad a batch take as much time as its images.
    count = len(batch.images) if method.whole else count
    with Stopwatch() as watch:
        found = method.fill(
            pixels.to_float(batch.images[:count]),
            batch.masks[:count],
            batch.keys[:count],
        )
    return found, watch.seconds / count
