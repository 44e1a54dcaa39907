"""What an inpainting run leaves behind: PNGs, a contact sheet and results.json."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.runtime import program
from inpaint_jax import metrics, pixels
from inpaint_jax.data import images as image_lib
from inpaint_jax.data import sheets
from inpaint_jax.data.pictures import Picture

_GRID_ROWS = 32


class Result(NamedTuple):
    """What was made of one picture.

    Attributes:
      completed: ``[C, S, S, 3]`` in [-1, 1], the best candidate first.
      generated: ``[S, S, 3]`` in [-1, 1], what fills the best one's hole; None: nothing
        but the completed image was made.
      figures: Of the best, for its row in results.json.
      losses: ``[C]`` total losses, where there are several candidates.
      seeds: ``[C]`` which of the picture's searches each candidate is.
      refused: Why its hole cannot be filled, or nothing.
    """

    completed: np.ndarray
    generated: np.ndarray | None = None
    figures: Mapping[str, Any] = {}
    losses: np.ndarray | None = None
    seeds: np.ndarray | None = None
    refused: str = ""


class Report:
    """Gathers results, writes them as they come, and says how it went at the end."""

    def __init__(self, folder: Path, config: dict[str, Any]):
        self._folder = folder
        self._config = config
        self._images: list[dict[str, Any]] = []
        self._failed: list[dict[str, str]] = []
        self._grid: list[list[np.ndarray]] = []
        self._grid_labels: list[str] = []
        self._captions: list[list[str]] = []
        self._candidates: int = config["candidates"]

    def fail(self, name: str, reason: str) -> None:
        """Notes a picture, or an input, that cannot be completed."""
        self._failed.append({"id": name, "reason": reason})

    def add(
        self,
        picture: Picture,
        original: np.ndarray,
        mask: np.ndarray,
        found: Result,
        seconds: float,
    ) -> None:
        """Measures a picture's result and writes its PNGs.

        Args:
          picture: Where it came from.
          original: ``[S, S, 3]`` uint8, as the model saw it.
          mask: ``[S, S, 1]`` float32, 1 = known, 0 = missing.
          found: What was made of it.
          seconds: Wall time of its batch, without compilation, over the pictures in it.
        """
        if found.refused:
            self.fail(picture.id, f"{picture}: {found.refused}")
            return
        if not np.isfinite(found.completed[0]).all():
            reason = f"{picture}: the search met numbers that are not finite"
            self.fail(picture.id, reason)
            return
        name = f"{picture.stem}.png"
        pictures = {
            "completed": [pixels.to_uint8(each) for each in found.completed],
            "masked": [pixels.with_hole(original, mask)],
        }
        if found.generated is not None:
            pictures["generated"] = [pixels.to_uint8(found.generated)]
        completed = pictures["completed"]
        row = {
            "id": picture.id,
            "file": name,
            **figures(original, mask, completed[0]),
            **found.figures,
            "seconds": seconds,
        }
        labels = []
        if found.losses is not None and found.seeds is not None:
            row["candidate_losses"] = found.losses
            row["candidate_seeds"] = found.seeds
            totals = zip(found.seeds, found.losses, strict=True)
            labels = [f"seed {seed}: {loss:.1f}" for seed, loss in totals]
            folder = self._folder / "candidates" / picture.stem
            for rank, candidate in enumerate(completed, start=1):
                image_lib.write_png(folder / f"{rank}.png", candidate)
        self._images.append(for_json(row))
        for folder_name, (first, *_) in pictures.items():
            image_lib.write_png(self._folder / folder_name / name, first)
        if len(self._grid) < _GRID_ROWS:
            shown = [original, *pictures["masked"], *pictures.get("generated", [])]
            self._grid.append([*shown, *completed])
            self._grid_labels.append(picture.id)
            self._captions.append([""] * len(shown) + labels)

    def write(self) -> None:
        """Writes results.json and grid.png as they stand, once there is a result.

        Before that the folder keeps what an earlier run left there.
        """
        if not self._images:
            return
        program.write_json(
            self._folder / "results.json",
            {
                "config": self._config,
                "summary": self._summary(),
                "images": self._images,
                "failed": self._failed,
            },
        )
        columns = ["original", "masked", "G(z)", "completed"]
        if len(self._grid[0]) < len(columns):
            columns.remove("G(z)")
        columns += [f"no. {rank}" for rank in range(2, self._candidates + 1)]
        sheet = sheets.grid(
            self._grid,
            column_labels=columns,
            row_labels=self._grid_labels,
            captions=self._captions if self._candidates > 1 else None,
        )
        image_lib.write_png(self._folder / "grid.png", sheet)

    def close(self) -> int:
        """Writes a last time, prints the outcome, returns the exit status."""
        self.write()
        for failure in self._failed:
            program.warn(failure["reason"])
        if not self._images:
            return 2
        summary = self._summary()
        figures = ", ".join(
            f"{name} {summary[name]:.2f}{unit}"
            for name, unit in (("psnr", " dB"), ("ssim", ""), ("psnr_hole", " dB"))
            if summary[name] is not None
        )
        print(f"{len(self._images)} completed, {len(self._failed)} failed; {figures}")
        print(f"look at {self._folder / 'grid.png'}")
        return 1 if self._failed else 0

    def _summary(self) -> dict[str, Any]:
        """Means over the images for which a figure is defined."""
        summary: dict[str, Any] = {
            "n": len(self._images),
            "failed": len(self._failed),
            "device": str(jax.devices()[0].device_kind),
        }
        names = "missing context_loss prior_loss psnr ssim psnr_hole seconds"
        for name in names.split():
            values = [row[name] for row in self._images if row.get(name) is not None]
            summary[name] = math.fsum(values) / len(values) if values else None
        return summary


def figures(
    original: np.ndarray, mask: np.ndarray, completed: np.ndarray
) -> dict[str, Any]:
    """How a completed image compares with its original, as a row has it.

    Args:
      original: ``[S, S, 3]`` uint8.
      mask: ``[S, S, 1]`` float32, 1 = known, 0 = missing.
      completed: ``[S, S, 3]`` uint8: figures are of what is written, in 8 bits.
    """
    image, result = pixels.to_float(original), pixels.to_float(completed)
    return {
        "missing": float(1 - mask.mean()),
        "psnr": _psnr(result, image),
        "ssim": _ssim(result, image),
        "psnr_hole": _psnr_hole(result, image, mask),
    }


def by_level(distances: Mapping[int, float]) -> dict[str, float]:
    """``sets.sliced_wasserstein``'s result for JSON, with the mean over levels."""
    mean = sum(distances.values()) / len(distances)
    return {**{str(level): value for level, value in distances.items()}, "mean": mean}


_psnr, _psnr_hole = jax.jit(metrics.psnr), jax.jit(metrics.psnr_hole)
_ssim = jax.jit(metrics.ssim)


def for_json(value: Any) -> Any:
    """Arrays as (lists of) numbers; infinity and NaN, unknown to JSON, as null."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {name: for_json(each) for name, each in value.items()}
    if np.ndim(value) > 0:
        return [for_json(each) for each in value]
    number = float(value)
    return number if math.isfinite(number) else None
