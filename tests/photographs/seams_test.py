"""The Poisson equation of a photograph, beside SciPy's exact solution."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from inpaint_jax import blend
from inpaint_jax.photographs.seams import membrane


def exact(values, hole):
    """The equations written out pixel by pixel, and solved directly."""
    height, width = hole.shape
    places = list(zip(*np.nonzero(hole), strict=True))
    number = {place: i for i, place in enumerate(places)}
    matrix = sparse.lil_matrix((len(places), len(places)))
    right = np.zeros((len(places), values.shape[2]))
    for i, (y, x) in enumerate(places):
        for there in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= there[0] < height and 0 <= there[1] < width:
                matrix[i, i] += 1
                if there in number:
                    matrix[i, number[there]] = -1
                else:
                    right[i] += values[there]
    return spsolve(matrix.tocsc(), right)


def picture(height, width, channels=3):
    """Waves with a photograph's noise."""
    y, x = np.mgrid[:height, :width]
    waves = 30 * np.sin(x / 20) + 20 * np.cos(y / 31)
    noise = np.random.default_rng(0).normal(0, 5, (height, width, channels))
    return (waves[..., None] + noise).astype(np.float32)


def holes(height, width):
    y, x = np.mgrid[:height, :width]
    return {
        "disc": (y - height / 2) ** 2 + (x - width / 2) ** 2 < (height / 3) ** 2,
        "half, to the border": x < width // 2,
        "strokes": (x + y) % 40 < 15,
        "random": np.random.default_rng(1).random((height, width)) < 0.8,
        "a scratch": np.abs(x - y) < 2,
        "two corners": (x + y < 60) | (x > width - 20) & (y > height - 20),
    }


@pytest.mark.parametrize("kind", holes(9, 9))
@pytest.mark.parametrize("size", [(241, 203), (37, 50)])
def test_it_is_the_exact_solution(kind, size):
    values, hole = picture(*size), holes(*size)[kind]
    if not hole.any():
        return
    solution = membrane(np.where(hole[..., None], 1e6, values), hole)
    np.testing.assert_array_equal(solution[~hole], values[~hole])
    error = solution[hole] - exact(values, hole)
    assert np.abs(error).max() < 1.5
    assert np.sqrt(np.square(error).mean()) < 0.5


def test_one_channel_and_a_hole_of_one_pixel():
    values, hole = picture(20, 20, 1), np.zeros((20, 20), bool)
    hole[7, 9] = True
    around = values[[6, 8, 7, 7], [9, 9, 8, 10]].mean()
    assert membrane(values, hole)[7, 9] == pytest.approx(around, abs=1e-4)


@pytest.mark.parametrize("side", [20, 200])
def test_without_any_known_pixel_it_is_zero(side):
    hole = np.ones((side, side), bool)
    solution = membrane(picture(side, side), hole)
    np.testing.assert_allclose(solution, 0, atol=1e-3)


def test_a_part_that_touches_nothing_leaves_the_others():
    values, hole = picture(120, 200), np.zeros((120, 200), bool)
    hole[10:110, 10:90] = True
    alone = membrane(values, hole)
    np.testing.assert_allclose(membrane(values, hole), alone)
    nothing = np.zeros((120, 200), bool)
    np.testing.assert_array_equal(membrane(values, nothing), values)


def test_it_is_the_blend_of_small_images():
    rng = np.random.default_rng(0)
    image, generated = rng.uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    hole = np.zeros((64, 64), bool)
    hole[16:48, 10:64] = True
    mask = (~hole).astype(np.float32)[..., None]
    expected = np.asarray(blend.blend(image, generated, mask).image)
    correction = membrane(127.5 * (image - generated), hole) / 127.5
    found = np.where(hole[..., None], generated + correction, image)
    np.testing.assert_allclose(found, expected, atol=1e-3)
