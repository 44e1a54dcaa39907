"""Films of searches."""

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from experiments.filling import film


@pytest.mark.parametrize("steps", [1, 20, 200, 1500])
def test_a_search_can_be_watched_however_many_steps_it_takes(steps):
    shown = film.iterates(steps)
    assert (shown[0], shown[-1]) == (0, steps)
    assert len(shown) == len(set(shown)) <= 48
    pictures = np.random.default_rng(0).integers(
        0, 256, (len(shown) + 2, 16, 16, 3), np.uint8
    )
    masked, *course, completed = pictures
    with Image.open(io.BytesIO(film.encode(masked, course, completed))) as found:
        durations = [
            frame.info["duration"]
            for frame in ImageSequence.Iterator(found)
            if frame.load()
        ]
    assert len(durations) == len(shown) + 2
    assert 2500 < sum(durations[1:-1]) <= 3000
