"""The contact sheet of a run: pictures, their holes, and the completed pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from inpaint_jax import pixels
from inpaint_jax.data import images
from inpaint_jax.data.sheets import grid

ROWS = 32
"""Greatest number of pictures on a sheet."""


class Shown(NamedTuple):
    """A row of a sheet.

    Attributes:
      label: Text beside the row.
      original: ``[S, S, 3]`` uint8; if it is not known, the same as ``given``.
      given: ``[S, S, 3]`` uint8, the picture with the hole.
      mask: ``[S, S, 1]``, 1 = known.
      completed: ``[S, S, 3]`` uint8.
      generated: ``[S, S, 3]`` uint8, the generated image of the best candidate, if
        there is one.
      candidates: ``[S, S, 3]`` uint8 each, the best first, if there are several.
      captions: Texts below the candidates.
      doubt: ``[S, S, 3]`` uint8, a map of where they differ, if there are several.
      photographs: ``[2S, 2S, 3]`` uint8 each, the photograph that it is a part of, with
        its hole and completed; empty if it is all of it.
    """

    label: str
    original: np.ndarray
    given: np.ndarray
    mask: np.ndarray
    completed: np.ndarray
    generated: np.ndarray | None = None
    candidates: Sequence[np.ndarray] = ()
    captions: Sequence[str] = ()
    doubt: np.ndarray | None = None
    photographs: Sequence[np.ndarray] = ()


def write(path: Path, shown: Sequence[Shown], *, first: str = "original") -> None:
    """Writes a sheet; ``first`` is the label of its first column."""
    generated = [] if shown[0].generated is None else ["G(z)"]
    doubt = [] if shown[0].doubt is None else ["uncertainty"]
    columns = [first, "masked", *generated, "completed", *doubt]
    several = max(len(each.candidates) for each in shown)
    columns += [f"no. {rank}" for rank in range(1, several + 1)]
    whole = any(each.photographs for each in shown)
    columns = [*(["photograph", "restored"] if whole else []), *columns]
    rows, captions = [], []
    for each in shown:
        masked = pixels.with_hole(each.given, each.mask)
        cells = [each.original, masked, each.generated, each.completed, each.doubt]
        small = [cell for cell in cells if cell is not None]
        large = [cell.repeat(2, 0).repeat(2, 1) for cell in [*small, *each.candidates]]
        blank = np.full_like(large[0], 255)
        first_cells = list(each.photographs) or ([blank, blank] if whole else [])
        rows.append([*first_cells, *large])
        captions.append([""] * len([*first_cells, *small]) + list(each.captions))
    sheet = grid(
        rows,
        column_labels=columns,
        row_labels=[each.label for each in shown],
        captions=captions if any(each.captions for each in shown) else None,
        scale=1,
    )
    images.write_png(path, sheet)
