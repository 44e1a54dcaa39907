"""Blending against equation 6 solved directly, in double precision."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inpaint_jax import masks
from inpaint_jax.blend import blend, blend_batch, overlay

SIDE = 64
jitted_blend = jax.jit(blend)


def gradient_operator(height, width):
    """Differences between neighbours, a row for each pair: none past the border."""

    def differences(n):
        return scipy.sparse.diags([-1.0, 1.0], [0, 1], shape=(n - 1, n))

    return scipy.sparse.vstack(
        [
            scipy.sparse.kron(differences(height), scipy.sparse.eye(width)),
            scipy.sparse.kron(scipy.sparse.eye(height), differences(width)),
        ]
    ).tocsc()


def solve_directly(image, generated, mask):
    """Minimises ||D x - D G||^2 over the hole by its normal equations."""
    height, width, channels = image.shape
    known = mask.reshape(-1) == 1
    x = np.where(mask == 1, image, 0).astype(np.float64).reshape(-1, channels)
    gradient = gradient_operator(height, width)
    target = gradient @ generated.astype(np.float64).reshape(-1, channels)
    hole = gradient[:, ~known]
    right = hole.T @ (target - gradient[:, known] @ x[known])
    solution = scipy.sparse.linalg.spsolve((hole.T @ hole).tocsc(), right)
    x[~known] = solution.reshape(-1, channels)
    return x.reshape(image.shape)


def pictures(seed=0, shape=(SIDE, SIDE, 3)):
    """Two unrelated pictures of every frequency: the residual of a worst case."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (2, *shape)).astype(np.float32)


def smooth_pictures(shape=(SIDE, SIDE, 3)):
    """Two that differ by a slow wave and an offset, as G and y do."""
    rows, columns = np.mgrid[: shape[0], : shape[1]][..., None] / SIDE
    channel = np.arange(shape[2])
    image = 0.5 * np.sin(3 * rows + channel) * np.cos(5 * columns) + 0.4
    generated = 0.5 * np.sin(4 * rows + 2 * columns - channel) - 0.4
    return image.astype(np.float32), generated.astype(np.float32)


def named_mask(name, seed=0):
    return np.array(masks.mask_function(name)(jax.random.key(seed), (SIDE, SIDE)))


def only_known(*places):
    mask = np.zeros((SIDE, SIDE, 1), np.float32)
    for place in places:
        mask[place] = 1
    return mask


HARD_MASKS = {
    "one corner known": only_known((0, 0)),
    "one pixel known": only_known((31, 31)),
    "a pixel and its neighbour known": only_known((0, 0), (0, 1)),
    "two corners known": only_known((0, 0), (-1, -1)),
    "one row known": only_known((0, slice(None))),
    "border missing": 1 - only_known((0,), (-1,), np.s_[:, 0], np.s_[:, -1]),
    "all but the border missing": only_known((0,), (-1,), np.s_[:, 0], np.s_[:, -1]),
}
ALL_MASKS = {
    **{name: named_mask(name) for name in (*masks.MASK_NAMES, "random99", "random5")},
    **HARD_MASKS,
}


@pytest.mark.parametrize("make", [pictures, smooth_pictures])
@pytest.mark.parametrize("mask", ALL_MASKS.values(), ids=ALL_MASKS.keys())
def test_blend_is_equation_6(mask, make):
    image, generated = make()
    result = jitted_blend(image, generated, mask)
    expected = solve_directly(image, generated, mask)
    np.testing.assert_allclose(result.image, expected, atol=1e-4)
    known = mask[..., 0] == 1
    np.testing.assert_array_equal(np.asarray(result.image)[known], image[known])
    assert result.image.dtype == jnp.float32
    assert result.residual.shape == ()
    assert result.residual < 2e-4


small_masks = hnp.arrays(np.float32, (7, 10, 1), elements=st.sampled_from([0.0, 1.0]))


@settings(deadline=None, max_examples=30)
@given(small_masks.filter(lambda mask: 0 < mask.sum() < mask.size), st.integers(0, 999))
def test_blend_of_any_mask(mask, seed):
    image, generated = pictures(seed, (7, 10, 3))
    result = jitted_blend(image, generated, mask)
    expected = solve_directly(image, generated, mask)
    np.testing.assert_allclose(result.image, expected, atol=1e-4)
    known = mask[..., 0] == 1
    np.testing.assert_array_equal(np.asarray(result.image)[known], image[known])


@pytest.mark.parametrize("shape", [(1, 9, 3), (2, 2, 1), (40, 5, 4)])
def test_blend_of_narrow_images(shape):
    image, generated = pictures(0, shape)
    mask = np.ones((*shape[:2], 1), np.float32)
    mask[shape[0] // 2 :, shape[1] // 2 :] = 0
    np.testing.assert_allclose(
        jitted_blend(image, generated, mask).image,
        solve_directly(image, generated, mask),
        atol=1e-4,
    )


def test_one_missing_pixel_by_hand():
    image, generated = pictures(0, (3, 3, 1))
    mask = np.ones((3, 3, 1), np.float32)
    mask[1, 0] = 0  # at the border: three neighbours
    u = image - generated
    expected = generated[1, 0] + (u[0, 0] + u[2, 0] + u[1, 1]) / 3
    np.testing.assert_allclose(
        blend(image, generated, mask).image[1, 0], expected, 1e-5
    )


def test_a_constant_offset_is_undone_exactly():
    """Pictures that differ by a colour shift blend into the original."""
    image, _ = smooth_pictures()
    result = jitted_blend(image, image - 0.3, named_mask("center"))
    np.testing.assert_allclose(result.image, image, atol=1e-5)


@pytest.mark.parametrize("name", SIDES := ("top", "bottom", "left", "right"))
def test_holes_at_a_border_do_not_see_the_opposite_one(name):
    """A Laplacian that wraps round, in rows or in the flattened image, would."""
    image, generated = pictures()
    mask = np.ones((SIDE, SIDE, 1), np.float32)
    hole, opposite = {
        "top": (np.s_[:2], np.s_[-1:]),
        "bottom": (np.s_[-2:], np.s_[:1]),
        "left": (np.s_[:, :2], np.s_[:, -1:]),
        "right": (np.s_[:, -2:], np.s_[:, :1]),
    }[name]
    mask[hole] = 0
    changed = image.copy()
    changed[opposite] += 5
    before = np.asarray(jitted_blend(image, generated, mask).image)
    after = np.asarray(jitted_blend(changed, generated, mask).image)
    np.testing.assert_array_equal(before[hole], after[hole])


@pytest.mark.parametrize("hole", [np.nan, np.inf, 1e30])
def test_what_the_hole_holds_does_not_matter(hole):
    image, generated = pictures()
    mask = named_mask("random80")
    spoiled = np.where(mask == 1, image, hole).astype(np.float32)
    for function in (jitted_blend, lambda *x: (overlay(*x),)):
        clean, dirty = (
            function(image, generated, mask),
            function(spoiled, generated, mask),
        )
        for x, y in zip(clean, dirty, strict=True):
            np.testing.assert_array_equal(x, y)
            assert np.isfinite(x).all()


def test_nothing_missing_is_the_image():
    image, generated = pictures()
    result = jitted_blend(image, generated, np.ones((SIDE, SIDE, 1), np.float32))
    np.testing.assert_array_equal(result.image, image)
    assert result.residual == 0


@pytest.mark.parametrize("hole", [0.5, np.nan])
def test_everything_missing_is_the_generated_image(hole):
    _, generated = pictures()
    mask = np.zeros((SIDE, SIDE, 1), np.float32)
    result = jitted_blend(np.full_like(generated, hole), generated, mask)
    np.testing.assert_array_equal(result.image, generated)
    assert result.residual == 0


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-20, 1e-7])
@pytest.mark.parametrize("tolerance", [0.0, 1e-6])
def test_images_that_hardly_differ(scale, tolerance):
    """Nothing to correct, and nothing that underflows to NaN on the way."""
    _, difference = pictures()
    image = scale * difference
    generated = np.zeros_like(image)
    result = jitted_blend(image, generated, named_mask("center"), tolerance=tolerance)
    assert np.isfinite(result.image).all()
    assert np.isfinite(result.residual)
    np.testing.assert_allclose(result.image, image, atol=2 * scale)


def test_a_batch_is_each_image_alone():
    """Masks that need 0, 45 and 250 iterations, in one loop."""
    image, generated = pictures()
    names = ("random80", "center", "random99")
    batch = np.stack(
        [np.ones_like(named_mask("top")), *map(named_mask, names), only_known((0, 0))]
    )
    together = jax.jit(jax.vmap(blend, (None, None, 0)))(image, generated, batch)
    for i, mask in enumerate(batch):
        alone = jitted_blend(image, generated, mask)
        np.testing.assert_allclose(together.image[i], alone.image, atol=1e-5)
        known = mask[..., 0] == 1
        np.testing.assert_array_equal(together.image[i][known], image[known])


def test_too_few_iterations_show_in_the_residual():
    image, generated = pictures()
    mask = named_mask("center")
    residuals = [
        float(jitted_blend(image, generated, mask, max_iterations=n).residual)
        for n in (0, 20, 60, 100)
    ]
    assert residuals[0] == pytest.approx(1)
    assert residuals == sorted(residuals, reverse=True)
    assert residuals[-1] < 1e-5
    # The known pixels do not wait for convergence.
    rough = jitted_blend(image, generated, mask, max_iterations=1).image
    np.testing.assert_array_equal(rough[mask[..., 0] == 1], image[mask[..., 0] == 1])


def test_the_residual_is_that_of_the_returned_image():
    image, generated = pictures()
    mask = named_mask("center")
    result = jitted_blend(image, generated, mask, max_iterations=8)
    gradient = gradient_operator(SIDE, SIDE)
    missing = mask.reshape(-1) == 0

    def laplacian(picture):
        flat = np.asarray(picture, np.float64).reshape(-1, 3)
        return (gradient.T @ (gradient @ flat))[missing]

    start = np.where(mask == 1, image, generated)
    expected = np.linalg.norm(laplacian(result.image) - laplacian(generated))
    expected /= np.linalg.norm(laplacian(start) - laplacian(generated))
    np.testing.assert_allclose(result.residual, expected, rtol=1e-3)


def test_gradients_flow_through_the_solver():
    """x is affine in G: its derivative along a direction is the blend of that."""
    image, generated = pictures(0, (7, 10, 3))
    direction, weights = pictures(1, (7, 10, 3))
    mask = np.ones((7, 10, 1), np.float32)
    mask[2:, 3:8] = 0
    gradient = jax.jit(
        jax.grad(lambda g: jnp.sum(weights * blend(image, g, mask).image))
    )
    expected = np.sum(weights * solve_directly(np.zeros_like(image), direction, mask))
    np.testing.assert_allclose(
        jnp.sum(gradient(generated) * direction), expected, rtol=1e-3, atol=1e-3
    )


# ---- overlay ---------------------------------------------------------------------


@pytest.mark.parametrize("name", masks.MASK_NAMES)
def test_overlay_pastes_known_pixels_whole(name):
    """No weights: a known pixel is the image's and nothing else."""
    image, generated = pictures()
    known = named_mask(name)[..., 0] == 1
    pasted = np.asarray(overlay(image, generated, named_mask(name)))
    np.testing.assert_array_equal(pasted[known], image[known])
    np.testing.assert_array_equal(pasted[~known], generated[~known])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_sixteen_bits_are_solved_in_float32(dtype):
    image, generated = (x.astype(dtype) for x in pictures())
    mask = named_mask("center")
    found = jitted_blend(image, generated, mask)
    assert found.image.dtype == dtype
    exact = solve_directly(
        *(np.asarray(x, np.float32) for x in (image, generated, mask))
    )
    assert np.abs(np.asarray(found.image, np.float64) - exact).max() < 0.02


@pytest.mark.parametrize("group", [1, 4, 64])
def test_a_batch_in_groups_is_every_image_by_itself(group):
    # Seven: no multiple of the group.
    keys = jax.random.split(jax.random.key(0), 7)
    drawn = masks.make_masks("random50", keys, (SIDE, SIDE))
    images, generated = jax.random.uniform(
        jax.random.key(1), (2, 7, SIDE, SIDE, 3), minval=-1.0
    )
    batch = jax.jit(functools.partial(blend_batch, group=group))
    found = batch(images, generated, drawn)
    assert found.residual.shape == (7,)
    for i in range(7):
        alone = jitted_blend(images[i], generated[i], drawn[i])
        np.testing.assert_allclose(found.image[i], alone.image, atol=1e-5)
