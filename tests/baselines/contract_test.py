"""What every fill must do, whatever it does."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import CONTEXT_ENCODER, random_weights
from fakes import analytic_model
from problems import problem

import inpaint_jax
from inpaint_jax import baselines
from inpaint_jax.baselines import context_encoder
from inpaint_jax.baselines.context_encoder import context_encoder_fill
from inpaint_jax.configs import SearchConfig

SIZE = 16
PICTURES = np.random.default_rng(0).integers(0, 256, (9, SIZE, SIZE, 3), np.uint8)
COLOR = (0.1, -0.2, 0.3)


def encode(blend):
    like = jax.eval_shape(
        lambda: context_encoder.init_state(CONTEXT_ENCODER, jnp.zeros(3))
    )
    weights = random_weights(like.average)
    return context_encoder_fill(weights, COLOR, blend=blend)


MODEL = analytic_model(SIZE)


def search(images, masks, keys):
    config = SearchConfig(steps=3)
    return inpaint_jax.inpaint(MODEL, images, masks, keys, config=config).image


def guess(blend):
    # Four numbers for four columns of the image.
    encoder = lambda seen: (seen[..., :3] * seen[..., 3:4]).mean((0, 2))[:4]  # noqa: E731
    guessing = dataclasses.replace(MODEL, correctors=(encoder, encoder))
    return baselines.guess_fill(guessing, blend=blend)


FILLS = {
    "latent": lambda: search,
    "guess": lambda: guess(blend=False),
    "guess, blended": lambda: guess(blend=True),
    "harmonic": lambda: baselines.harmonic_fill,
    "guided": lambda: baselines.guided_fill(PICTURES[0] / 127.5 - 1),
    "tv": lambda: functools.partial(baselines.tv_fill, iterations=100),
    "low_rank": lambda: functools.partial(
        baselines.low_rank_fill, rank=2, rounds=2, iterations=10
    ),
    "nearest": lambda: baselines.nearest_fill(PICTURES),
    "nearest, blended": lambda: baselines.nearest_fill(PICTURES, blend=True),
    "context_encoder": lambda: encode(blend=False),
    "context_encoder, blended": lambda: encode(blend=True),
    "telea": lambda: baselines.telea_fill,
    "navier_stokes": lambda: baselines.navier_stokes_fill,
    "biharmonic": lambda: baselines.biharmonic_fill,
    "patch_match": lambda: baselines.patch_match_fill,
}
MASKS = ("center", "random80", "left")
FEW_PATCHES = ("center", "random80")


@functools.cache
def fill_of(name):
    return FILLS[name]()


@pytest.fixture(params=FILLS)
def name(request):
    return request.param


@pytest.fixture
def fill(name):
    return fill_of(name)


def masks_for(name):
    return [mask for mask in MASKS if name != "patch_match" or mask not in FEW_PATCHES]


def assert_same_bits(a, b):
    a, b = (np.asarray(x) for x in (a, b))
    assert a.dtype == b.dtype == np.float32
    np.testing.assert_array_equal(a.view(np.int32), b.view(np.int32))


@pytest.mark.parametrize(
    ("name", "mask"), [(name, mask) for name in FILLS for mask in masks_for(name)]
)
def test_known_pixels_come_back_bit_for_bit(fill, mask):
    images, masks, keys = problem(mask, size=SIZE)
    # Between two 8-bit values, and a zero that computing with it would turn.
    images = images.at[:, 1, -1].set(0.1234567).at[:, 0].set(-0.0)
    completed = np.asarray(fill(images, masks, keys))
    assert completed.shape == images.shape
    known = np.broadcast_to(np.asarray(masks) == 1, images.shape)
    assert_same_bits(completed[known], np.asarray(images)[known])
    assert np.abs(completed).max() <= 1  # False for NaN, too.


def test_a_call_is_a_function_of_its_arguments(fill):
    given = problem("left", size=SIZE)
    assert_same_bits(fill(*given), fill(*given))


def test_what_stands_in_the_hole_does_not_matter(fill):
    images, masks, keys = problem("left", size=SIZE)
    spoiled = jnp.where(masks == 1, images, jnp.nan)
    assert_same_bits(fill(spoiled, masks, keys), fill(images, masks, keys))


def test_an_image_does_not_depend_on_its_neighbours(name, fill):
    images, masks, keys = problem(masks_for(name)[-1], size=SIZE)
    together = fill(images, masks, keys)
    others = fill(images.at[1:].set(0.5), masks.at[1:, :8].set(1), keys)
    assert_same_bits(together[0], others[0])
    alone = fill(images[:1], masks[:1], keys[:1])
    np.testing.assert_allclose(together[0], alone[0], atol=1e-4)


def test_an_image_without_a_hole_comes_back(fill):
    images, masks, keys = problem("left", size=SIZE)
    completed = fill(images, masks.at[1].set(1), keys)
    assert_same_bits(completed[1], images[1])


@pytest.mark.slow
def test_a_fill_is_the_same_under_x64(name, fill):
    given = problem("left", size=SIZE)
    expected = fill(*given)
    with jax.enable_x64(True):
        # Made anew: a fill that is bound to arrays may be bound to wider ones.
        found = FILLS[name]()(*given)
    assert np.asarray(found).dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)
