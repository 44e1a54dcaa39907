"""What the trainings of all networks share."""

import jax
import numpy as np

from inpaint_jax.parallel import Share
from inpaint_jax.training import updates


def test_flips_mirror_about_half_and_change_nothing_else():
    before = jax.random.uniform(jax.random.key(7), (256, 16, 16, 3), minval=-1.0)
    flipped = updates.flip_at_random(jax.random.key(0), before, Share(1))
    same = np.all(np.asarray(flipped == before), axis=(1, 2, 3))
    mirrored = np.all(np.asarray(flipped == before[:, :, ::-1]), axis=(1, 2, 3))
    assert np.all(same ^ mirrored)
    assert 90 < mirrored.sum() < 166
