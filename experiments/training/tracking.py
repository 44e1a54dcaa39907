"""Tracking of a training run: logs, evaluations and the best checkpoint.

``quality.jsonl`` has a line for each evaluation on held-back images. The best
checkpoint is that of the lowest value of the network's criterion (for a DCGAN, the
sliced Wasserstein distance, averaged over the levels); ``best/`` keeps it.
"""

import json
import math
from pathlib import Path
from typing import Any

from experiments.runtime import distributed, program
from experiments.training.trainee import Judged
from inpaint_jax import parallel
from inpaint_jax.training.checkpoints import Checkpoints, State


class Rows:
    """A file of JSON lines that grows with a run.

    Args:
      path: The file; made if missing. Lines of steps after ``start`` are dropped: a
        killed run did these steps but did not save them. Only the first process of a
        job writes the file.
      start: The step that the run goes on from.
    """

    def __init__(self, path: Path, start: int):
        self._path = path
        self.rows: list[dict[str, Any]] = []
        text = path.read_text(errors="replace") if path.exists() else ""
        for line in text.splitlines():
            try:
                row = json.loads(line)
                kept = row["step"] <= start
            except (ValueError, KeyError, TypeError):
                continue  # An incomplete line of a killed run.
            if kept:
                self.rows.append(row)
        if distributed.is_first():
            kept_lines = "".join(json.dumps(row) + "\n" for row in self.rows)
            program.write_text(path, kept_lines)

    def append(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if distributed.is_first():
            program.append_lines(self._path, [row])


class Tracker:
    """Evaluates a run during training; a context manager.

    Args:
      workdir: Folder of the run.
      trainee: The network under training.
      start: The step that the run goes on from.
    """

    def __init__(self, workdir: Path, trainee: Judged, start: int):
        self.trainee = trainee
        self._rows = Rows(workdir / "quality.jsonl", start)
        self._best = Checkpoints(workdir, "best", keep=1)
        self._best.forget_after(start)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All evaluations so far."""
        return self._rows.rows

    @property
    def best_step(self) -> int | None:
        """Step of the best checkpoint, or None before the first evaluation."""
        return self._best.latest_step

    def has(self, step: int) -> bool:
        """Whether that step was evaluated."""
        return any(row["step"] == step for row in self.rows)

    def evaluate(self, state: State) -> dict[str, Any]:
        """Evaluates the averaged network, and keeps the state if it is the best.

        Only the first of several processes does the work.

        Returns:
          The row.
        """

        def judge() -> dict[str, Any]:
            return {
                "step": int(state.step),
                **self.trainee.judge(parallel.local(state)),
            }

        row = distributed.from_first(judge)
        if row[self.trainee.criterion] < self._best_figure():
            self._best.save(state)
            self._best.wait()
        self._rows.append(row)
        return row

    def _best_figure(self) -> float:
        """The criterion of the checkpoint in ``best/``; infinite if there is none."""
        name = self.trainee.criterion
        figures = [row[name] for row in self.rows if row["step"] == self.best_step]
        return min(figures, default=math.inf)

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, *error: Any) -> None:
        self._best.__exit__(*error)
