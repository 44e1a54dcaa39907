"""The way of a search, against the search."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fakes import analytic_model
from PIL import Image

from experiments.paper import manifold
from inpaint_jax import SearchConfig, image_key, importance_weights, inpaint, make_masks


@pytest.mark.slow
def test_the_way_is_that_of_the_search(tmp_path):
    model, key = analytic_model(size=16, latent_size=8), image_key(0, "a")
    image = np.random.default_rng(0).uniform(-1, 1, (16, 16, 3)).astype(np.float32)
    mask = np.asarray(make_masks("left", key[None], (16, 16)))[0]
    way = manifold.follow(model, image, mask, key, steps=30, samples=60)
    assert way.steps[[0, -1]].tolist() == [0, 30]
    assert way.images.shape == (len(way.steps), 16, 16, 3)
    assert way.around.shape == (60, 16, 16, 3)
    # The same search in one go, which stops at each step of the way.
    key_search, _ = jax.random.split(key)
    config = SearchConfig(steps=30)
    found = inpaint(model, image[None], mask[None], key_search[None], config=config)
    weights = np.asarray(importance_weights(jnp.asarray(mask), config.window))
    context = np.abs(weights * (way.images - image)).sum((1, 2, 3))
    np.testing.assert_allclose(context, found.trace.context[0][way.steps], rtol=1e-4)
    assert context[-1] < 0.9 * context[0]

    path = tmp_path / "way.png"
    manifold.draw(path, way, "noise")
    assert np.asarray(Image.open(path)).std() > 0
