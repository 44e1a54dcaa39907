"""What no training had: the fast search must not end worse than the paper's."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import DEMO
from PIL import Image

from inpaint_jax import inpaint, load_model, pixels
from inpaint_jax.configs import SEARCHES
from inpaint_jax.data import images as image_lib

ROWS, COLUMNS = np.mgrid[:64, :64]
# The waves have two kinds of ends, a third apart, so one search of them says little.
SEARCHES_OF_EACH = np.array([1, 1, 4, 1])
TOLERANCE = 1.02


def strange_images():
    """A face upside down, tiles, waves, noise: ``[4, 64, 64, 3]``."""
    portrait = np.asarray(Image.open(DEMO / "obama_portrait.png").convert("RGB"))
    face = pixels.to_float(image_lib.crop_and_resize(portrait))[::-1]
    odd = ((ROWS // 8 + COLUMNS // 8) % 2)[..., None] > 0
    tiles = np.where(odd, [0.8, -0.2, 0.1], [-0.9, 0.5, -0.3])
    angles = COLUMNS / 3, ROWS / 5, (ROWS + COLUMNS) / 7
    waves = np.stack([np.sin(angle) for angle in angles], -1)
    noise = np.random.default_rng(0).uniform(-1, 1, (64, 64, 3))
    return np.stack([face, tiles, waves, noise]).astype(np.float32)


def strange_masks():
    """Bars, two discs missing, all but a disc missing, bars: ``[4, 64, 64, 1]``."""
    bars = (COLUMNS // 4) % 3 > 0
    discs = (np.hypot(ROWS - 20, COLUMNS - 44) > 12) & (
        np.hypot(ROWS - 50, COLUMNS - 10) > 9
    )
    outside = np.hypot(ROWS - 32, COLUMNS - 32) < 14
    return np.stack([bars, discs, outside, bars])[..., None].astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def compiled_well():
    """Thousands of steps: here compiling well is worth its time."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="module")
def model():
    return load_model("celeba64")


def losses(model, config, searches_of_each=SEARCHES_OF_EACH):
    """``[4]`` the mean loss of each image's searches."""
    found = inpaint(
        model,
        np.repeat(strange_images(), searches_of_each, 0),
        np.repeat(strange_masks(), searches_of_each, 0),
        jax.random.split(jax.random.key(3), searches_of_each.sum()),
        config=config,
        guided=True,
    )
    starts = np.cumsum(searches_of_each) - searches_of_each
    return np.add.reduceat(found.losses.total, starts) / searches_of_each


@pytest.fixture(scope="module")
def of_the_paper(model):
    return losses(model, SEARCHES["paper"])


def assert_not_worse(found, expected):
    """In the mean of the images' ratios."""
    assert np.exp(np.log(found / expected).mean()) < TOLERANCE


@pytest.mark.slow
@pytest.mark.networks
def test_strange_images_under_strange_masks(model, of_the_paper):
    assert_not_worse(losses(model, SEARCHES["fast"]), of_the_paper)


@pytest.mark.slow
@pytest.mark.networks
def test_encoders_that_mislead(model, of_the_paper):
    misled = replace(model, correctors=(lambda seen: jnp.full(100, 5.0),))
    assert_not_worse(losses(misled, SEARCHES["fast"]), of_the_paper)


@pytest.mark.slow
@pytest.mark.networks
@pytest.mark.parametrize("name", ["cars", "faces", "house_numbers"])
def test_newton_on_strange_images_under_strange_masks(name):
    model, once = load_model(name), np.ones(4, int)  # A search begins at the guess.
    newton = SEARCHES[model.search]
    # The paper's steps for the same objective, at the rate that is best for these
    # models.
    adam = replace(
        newton,
        newton=False,
        steps=1500,
        learning_rate=0.03,
        schedule="constant",
        beta1=0.9,
    )
    assert_not_worse(losses(model, newton, once), losses(model, adam, once))
