"""Batches over several devices: the same results, and nothing mixed up."""

import gc
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import inpaint_jax
from inpaint_jax import parallel
from inpaint_jax.configs import SEARCHES, RefineConfig

CONFIG = replace(SEARCHES["fast"], steps=6, learning_rate=0.01)


@pytest.fixture(params=[1, 2, 8])
def mesh(request):
    return parallel.make_mesh(jax.devices()[: request.param])


def test_a_mesh_is_over_all_devices():
    assert parallel.make_mesh().size == parallel.local_size(parallel.make_mesh()) == 8


def test_what_is_placed_comes_back_in_order(mesh):
    tree = {
        "a": np.arange(24.0).reshape(8, 3),
        "keys": jax.random.split(jax.random.key(3), 8),
    }
    placed = parallel.place(tree, mesh)
    assert len(placed["a"].sharding.device_set) == mesh.size
    assert placed["a"].addressable_shards[0].data.shape == (8 // mesh.size, 3)
    np.testing.assert_array_equal(parallel.local(placed["a"]), tree["a"])
    assert (placed["keys"] == tree["keys"]).all()


def test_copies_are_whole_and_made_once(mesh):
    copied = parallel.replicate({"w": np.arange(6.0)}, mesh)
    assert copied["w"].is_fully_replicated
    assert len(copied["w"].devices()) == mesh.size
    assert parallel.replicate(copied, mesh)["w"] is copied["w"]


def test_a_split_function_sees_its_own_part_alone(mesh):
    def function(batch, offset):
        # The least of the part, not of the batch.
        return batch - batch.min() + offset["x"]

    rows = np.arange(8.0)
    axes = (0, {"x": None})
    divided = jax.jit(parallel.split(function, axes, mesh))
    found = divided(parallel.place(rows, mesh), {"x": jnp.asarray(1.0)})
    part = 8 // mesh.size
    np.testing.assert_array_equal(found, rows % part + 1)


def test_without_a_mesh_a_function_is_itself():
    assert parallel.split(len, (0,), None) is len


@pytest.fixture(scope="module")
def problem(tiny_model_file):
    """A model, and sixteen images with masks and keys."""
    random = np.random.default_rng(0)
    keys = jax.random.split(jax.random.key(0), 16)
    return (
        inpaint_jax.load_model(tiny_model_file),
        random.uniform(-1, 1, (16, 16, 16, 3)).astype(np.float32),
        inpaint_jax.make_masks("random50", keys, (16, 16)),
        keys,
    )


@pytest.mark.parametrize(
    ("devices", "refinement"), [(2, None), (8, RefineConfig(steps=3))]
)
def test_inpainting_is_the_same_on_any_number_of_devices(problem, devices, refinement):
    model, *batch = problem
    mesh = parallel.make_mesh(jax.devices()[:devices])
    run = {"config": CONFIG, "refinement": refinement}
    alone = inpaint_jax.inpaint(model, *batch, **run)
    spread = inpaint_jax.inpaint(model, *batch, **run, mesh=mesh)
    for name in ("losses", "trace"):
        found, expected = getattr(spread, name), getattr(alone, name)
        np.testing.assert_allclose(found, expected, rtol=1e-3)
    # A tie between two iterates, or a gradient that is nothing but rounding, may be
    # decided otherwise: a step or two.
    np.testing.assert_allclose(spread.latent, alone.latent, atol=0.03)
    np.testing.assert_allclose(spread.image, alone.image, atol=0.03)
    assert spread.generated.shape == alone.generated.shape
    known = np.broadcast_to(np.asarray(batch[1]) > 0, batch[0].shape)
    np.testing.assert_array_equal(np.asarray(spread.image)[known], batch[0][known])


def test_a_batch_must_fit_the_devices(problem):
    model, images, masks, keys = problem
    with pytest.raises(ValueError, match="10 images cannot be divided among 8 devices"):
        inpaint_jax.inpaint(
            model, images[:10], masks[:10], keys[:10], mesh=parallel.make_mesh()
        )


def test_memory_does_not_grow_with_the_number_of_batches(problem):
    model, *batch = problem
    mesh = parallel.make_mesh()
    model = parallel.replicate(model, mesh)

    def held():
        gc.collect()
        return sum(
            array.nbytes
            for array in jax.live_arrays()
            if not jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key)
        )

    def run(count):
        for _ in range(count):
            found = inpaint_jax.inpaint(model, *batch, config=CONFIG, mesh=mesh)
        del found
        return held()

    before = run(2)  # It leaves constants behind.
    # What is let go may take a moment; six batches' images would be six times this.
    assert run(8) - before < batch[0].nbytes


def test_keys_are_copied_to_every_device():
    key = jax.random.key(3)
    mesh = parallel.make_mesh()
    there = parallel.replicate({"key": key, "x": np.ones(2)}, mesh)
    assert there["key"].sharding.is_fully_replicated
    np.testing.assert_array_equal(
        jax.random.key_data(there["key"]), jax.random.key_data(key)
    )
