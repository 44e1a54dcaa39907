"""PatchMatch (Barnes et al., 2009): the hole is quilted from patches around it.

The library is PyPatchMatch, which the extra ``competitors`` installs.
"""

import numpy as np

from inpaint_jax.baselines.fill import FillError, HoleError, HostFill, require

RADIUS = 3
"""Radius of a patch, for 7x7 pixels as in Barnes et al."""


def check_hole(hole: np.ndarray) -> None:
    """Refuses a hole that leaves no patch to take pixels from.

    The paper says about its random masks: "PM cannot be applied to this case due to
    insufficient available patches" (section 4.2).

    Args:
      hole: ``[S, S]`` bool.

    Raises:
      HoleError: There is no patch of known pixels only.
    """
    side = 2 * RADIUS + 1
    patches = np.lib.stride_tricks.sliding_window_view(~hole, (side, side))
    if not patches.all((-2, -1)).any():
        raise HoleError(
            f"patch_match cannot fill this hole: it leaves no patch of {side}x{side} "
            "known pixels to copy from"
        )


def _patch_match(image: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
    check_hole(hole)
    library = require("patchmatch", "PyPatchMatch")
    if not library.patchmatch_available:
        raise FillError("PyPatchMatch is installed without its native library")
    library.set_random_seed(seed)
    filled = library.inpaint(image, hole.astype(np.uint8), patch_size=RADIUS)
    return np.asarray(filled)


patch_match_fill = HostFill(_patch_match, "patchmatch", "PyPatchMatch")
"""PatchMatch: Barnes et al., PatchMatch: a randomized correspondence algorithm for
structural image editing, 2009."""
