"""Figures: their names, for one completed image, and summarised over many."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from inpaint_jax import metrics, pixels
from inpaint_jax.quality import perceptual

LOSSES = ("context_loss", "prior_loss")
"""The losses of the latent search."""

SIMILARITIES = ("psnr", "ssim", "psnr_hole")
"""Similarity of a completed image to its original."""

OF_PHOTOGRAPHS = ("psnr_photograph", "ssim_photograph", "outside")
"""Similarities of a whole photograph, and the share of its hole outside all frames."""

OF_SEVERAL = ("spread", "calibration", "diversity")
"""What several candidates say together (``measure_several``)."""

FIGURES = ("missing", *LOSSES, *SIMILARITIES, *OF_SEVERAL, "seconds", *OF_PHOTOGRAPHS)
"""All figures that are summarised over images."""

_STRIP = 512  # Rows that are measured at once.
_BEYOND = 10  # Rows that the window of SSIM reaches further.

_psnr, _psnr_hole = jax.jit(metrics.psnr), jax.jit(metrics.psnr_hole)
_ssim = jax.jit(metrics.ssim)


def measure(
    original: np.ndarray | None, mask: np.ndarray, completed: np.ndarray
) -> dict[str, float | None]:
    """The missing share of an image, and its similarity to its original.

    Args:
      original: ``[S, S, 3]`` uint8; None: similarity is not measured.
      mask: ``[S, S, 1]`` float32, 1 = known, 0 = missing.
      completed: ``[S, S, 3]`` uint8, the image as it is written to a file.
    """
    figures: dict[str, float | None] = {
        "missing": float(1 - mask.mean()),
        **dict.fromkeys(SIMILARITIES),
    }
    if original is not None:
        image, result = pixels.to_float(original), pixels.to_float(completed)
        figures["psnr"] = float(_psnr(result, image))
        figures["ssim"] = float(_ssim(result, image))
        figures["psnr_hole"] = float(_psnr_hole(result, image, mask))
    return figures


def measure_several(
    original: np.ndarray | None,
    mask: np.ndarray,
    completed: np.ndarray,
    candidates: Sequence[np.ndarray],
    spread: np.ndarray,
) -> dict[str, float | None]:
    """How different the candidates for a hole are, and whether that tells the error.

    Args:
      original: ``[S, S, 3]`` uint8, or None.
      mask: ``[S, S, 1]`` float32, 1 = known, 0 = missing.
      completed: ``[S, S, 3]`` uint8, the answer.
      candidates: ``[S, S, 3]`` uint8 each.
      spread: ``[S, S, 1]``, their standard deviation in levels of 8 bits.

    Returns:
      ``spread``: its root mean square over the missing pixels. ``calibration``: the
      rank correlation (Spearman's) over the missing pixels of the spread and the
      answer's error; None where one of them is the same everywhere or there is no
      original. ``diversity``: mean LPIPS distance between two candidates, around
      the hole; None without the extra ``lpips`` or for images too small for it.
    """
    figures: dict[str, float | None] = dict.fromkeys(OF_SEVERAL)
    hole = mask[..., 0] < 0.5
    if not hole.any():
        return figures
    doubt = spread[hole][:, 0]
    figures["spread"] = float(np.sqrt(np.square(doubt).mean()))
    if original is not None:
        difference = original[hole].astype(np.float64) - completed[hole]
        error = np.sqrt(np.square(difference).mean(-1))
        figures["calibration"] = _rank_correlation(doubt, error)
    can_see = perceptual.is_installed() and len(mask) >= perceptual.LEAST
    if can_see and len(candidates) > 1:
        pairs = zip(*itertools.combinations(candidates, 2), strict=True)
        one, other = (np.stack(each) for each in pairs)
        masks = np.broadcast_to(mask, (len(one), *mask.shape))
        figures["diversity"] = float(
            perceptual.hole_distances(one, other, masks).mean()
        )
    return figures


def calibration_of_pictures(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The rank correlation over pictures of the candidates' spread and the error.

    Args:
      rows: Rows of pictures with ``spread`` and ``psnr_hole``.
    """
    found = [
        (row["spread"], row["psnr_hole"])
        for row in rows
        if None not in (row.get("spread"), row.get("psnr_hole"))
    ]
    if not found:
        return None
    spreads, similarities = np.array(found).T
    return _rank_correlation(spreads, -similarities)


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's, of two arrays ``[N]``; None where one is the same everywhere."""
    if not (np.ptp(one) > 0 and np.ptp(other) > 0):
        return None
    from scipy import stats  # Here, as most programs need not wait for it.

    return float(stats.spearmanr(one, other).statistic)


def measure_photograph(original: np.ndarray, completed: np.ndarray) -> dict[str, Any]:
    """PSNR and SSIM of a photograph, computed in strips to save memory.

    Args:
      original: ``[H, W, 3]`` uint8.
      completed: ``[H, W, 3]`` uint8.

    Returns:
      ``psnr_photograph``, and ``ssim_photograph`` where the window of SSIM fits.
    """
    error, similarity, rows = 0.0, 0.0, 0
    height, width = original.shape[:2]
    for start in range(0, height, _STRIP):
        # The window's positions in a strip reach into the next one.
        part = slice(start, min(start + _STRIP, height))
        a, b = original[part].astype(np.float64), completed[part]
        error += float(np.square(a - b).sum())
        wider = slice(start, part.stop + _BEYOND)
        count = min(height, wider.stop) - start - _BEYOND
        if min(count, width - _BEYOND) > 0:
            pair = pixels.to_float(original[wider]), pixels.to_float(completed[wider])
            similarity += count * float(_ssim(*pair))
            rows += count
    mean = error / original.size
    return {
        "psnr_photograph": 10 * math.log10(255**2 / mean) if mean else math.inf,
        "ssim_photograph": similarity / rows if rows else None,
    }


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean, median, standard deviation and standard error of every figure in rows.

    They are taken over the n rows where the figure is a finite number: an image without
    a hole has no PSNR in the hole, and that of an exact fill is infinite.
    """
    summary = {}
    for name in FIGURES:
        values = [row[name] for row in rows if row.get(name) is not None]
        if values:
            deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            summary[name] = {
                "mean": math.fsum(values) / len(values),
                "median": float(np.median(values)),
                "std": deviation,
                "sem": deviation / math.sqrt(len(values)),
                "n": len(values),
            }
    return summary


def outcome(
    completed: str, failed: int, summary: Mapping[str, Mapping[str, float]]
) -> str:
    """The line that reports a run: counts, and means where there are any."""
    units = zip(SIMILARITIES, ((2, " dB"), (3, ""), (2, " dB")), strict=True)
    means = [
        f"{name} {summary[name]['mean']:.{digits}f}{unit}"
        for name, (digits, unit) in units
        if name in summary
    ]
    line = f"{completed}, {failed} failed"
    return f"{line}; {', '.join(means)}" if means else line


def by_level(distances: Mapping[int, float]) -> dict[str, float]:
    """The result of ``sets.sliced_wasserstein`` for JSON, with the mean over levels."""
    mean = sum(distances.values()) / len(distances)
    return {**{str(level): value for level, value in distances.items()}, "mean": mean}


def for_json(value: Any) -> Any:
    """A value for JSON: arrays as (lists of) numbers, infinity and NaN as null."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {name: for_json(each) for name, each in value.items()}
    if np.ndim(value) > 0:
        return [for_json(each) for each in value]
    number = np.asarray(value).item()
    if isinstance(number, float) and not math.isfinite(number):
        return None
    return number
