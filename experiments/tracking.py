"""Follows a training run: what it logs, how good it gets, which checkpoint is best.

``quality.jsonl`` has a line for each evaluation on held-back images. The best
checkpoint is that of the lowest sliced Wasserstein distance, averaged over the levels;
``best/`` keeps it.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from experiments import distributed, program
from inpaint_jax import data, gan, parallel, quality, recipes
from inpaint_jax.checkpoints import Checkpoints
from inpaint_jax.images import to_float
from inpaint_jax.pretrained import Parts, make_model


class Rows:
    """A file of JSON lines that grows with a run.

    Args:
      path: The file; made when missing. Lines of steps after ``start`` are dropped: a
        killed run did them but did not save them. Only the first process of a job
        touches it.
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
                continue  # The line that a killed run was writing.
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
    """Evaluates a run as it goes; a context manager.

    Args:
      workdir: Folder of the run.
      config: Its configuration.
      held_back: Images that are not trained on.
      start: The step that the run goes on from.
    """

    def __init__(
        self,
        workdir: Path,
        config: recipes.TrainConfig,
        held_back: data.Dataset,
        start: int,
    ):
        self._config = config
        # A few per cent of the training's own time at the default interval.
        self._work = quality.QualityConfig(
            images=1000, directions=128, pairs=500, reconstructions=64, steps=200
        )
        if len(held_back) > self._work.images:
            _, held_back = data.hold_back(held_back, self._work.images)
        self._images = to_float(held_back.images)
        self._rows = Rows(workdir / "quality.jsonl", start)
        self._best = Checkpoints(workdir, "best", keep=1)
        self._best.forget_after(start)
        self._real_ms_ssim: float | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All evaluations so far."""
        return self._rows.rows

    @property
    def best_step(self) -> int | None:
        """Step of the best checkpoint, None before the first evaluation."""
        return self._best.latest_step

    def has(self, step: int) -> bool:
        """Whether that step was evaluated."""
        return any(row["step"] == step for row in self.rows)

    def evaluate(self, state: gan.TrainState) -> dict[str, Any]:
        """Adds a row on the averaged generator, and keeps it if it is the best.

        Of several processes the first does the work.

        Returns:
          The row.
        """
        row = distributed.from_first(lambda: self._measure(state))
        if row["swd"] < self._best_swd():
            self._best.save(state)
            self._best.wait()
        self._rows.append(row)
        return row

    def _measure(self, state: gan.TrainState) -> dict[str, Any]:
        step, seed = int(state.step), self._config.seed
        model = make_model(
            Parts(
                "run",
                self._config.architecture,
                *parallel.local((state.average, state.discriminator.variables)),
            )
        )
        found = quality.measure(model, self._images, config=self._work, seed=seed)
        if self._real_ms_ssim is None:
            self._real_ms_ssim = quality.diversity(
                self._images, self._work.pairs, seed=seed
            )
        return {
            "step": step,
            "swd": found.mean_swd,
            **{f"swd_{level}": distance for level, distance in found.swd.items()},
            "ms_ssim": found.ms_ssim,
            "real_ms_ssim": self._real_ms_ssim,
            "ceiling": float(found.ceiling.mean(dtype=np.float64)),
        }

    def _best_swd(self) -> float:
        """That of the checkpoint in ``best/``; infinite when there is none."""
        scores = [row["swd"] for row in self.rows if row["step"] == self.best_step]
        return min(scores, default=math.inf)

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, *error: Any) -> None:
        self._best.__exit__(*error)
