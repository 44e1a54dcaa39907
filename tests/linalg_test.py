import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from conftest import ROOT
from launching import TIME_LIMIT

from inpaint_jax import linalg

SEARCH = """
model = inpaint_jax.load_model({model!r})
config = dataclasses.replace(inpaint_jax.SEARCHES["fast"], steps=3)

def fill(images, masks, keys, mesh):
    return inpaint_jax.inpaint(model, images, masks, keys[0], config=config, mesh=mesh)
"""
LOW_RANK = """
from inpaint_jax.baselines import low_rank_fill

def fill(images, masks, keys, mesh):
    filling = functools.partial(low_rank_fill, iterations=3)
    return parallel.split(filling, (0, 0, 0), mesh)(images, masks, keys)
"""
SIDE_BY_SIDE = """
import dataclasses, functools, sys, threading
import jax, jax.numpy as jnp
import inpaint_jax
from inpaint_jax import parallel
{fill}
keys = jax.random.split(jax.random.key(0), 8)
masks = inpaint_jax.make_masks("center", keys, ({size}, {size}))
images = jnp.zeros((8, {size}, {size}, 3))

def run(mesh=None):
    for _ in range(3):
        jax.block_until_ready(fill(images, masks, keys, mesh))

if {where!r} == "threads":
    threads = [threading.Thread(target=run) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
else:
    run(parallel.make_mesh())
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["threads", "devices"])
@pytest.mark.parametrize(("fill", "size"), [(SEARCH, 16), (LOW_RANK, 64)])
def test_decompositions_side_by_side_end(tiny_model_file, fill, size, where):
    # Batches of eigenvectors, computed at once, have waited for each other for ever.
    script = SIDE_BY_SIDE.format(
        fill=fill.format(model=str(tiny_model_file)), size=size, where=where
    )
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2", "PYTHONPATH": str(ROOT)}
    said = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        timeout=TIME_LIMIT,
    )
    assert said.stdout == "done\n", said.stderr


def test_a_batch_is_decomposed_as_scipy_does():
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 5)).astype(np.float32)
    matrices = x + x.swapaxes(-1, -2)
    values, vectors = jax.vmap(jax.vmap(linalg.eigh))(matrices)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(
            values[index], scipy.linalg.eigvalsh(matrices[index]), atol=1e-4
        )
        rebuilt = vectors[index] * values[index] @ vectors[index].T
        np.testing.assert_allclose(rebuilt, matrices[index], atol=1e-4)


def test_equal_examples_are_computed_once():
    computed = []

    def square(scale, x):
        jax.debug.callback(lambda value: computed.append(float(value)), x[0])
        return scale["by"] * x**2, x.sum()

    rows = np.array([[1, 1], [1, 1], [2, 0], [2, 0], [2, 0], [1, 1]], np.float32)
    once = jax.jit(jax.vmap(linalg.once_for_equal(square), (None, 0)))
    squares, sums = once({"by": jnp.float32(3)}, rows)
    np.testing.assert_array_equal(squares, 3 * rows**2)
    np.testing.assert_array_equal(sums, rows.sum(1))
    jax.effects_barrier()
    assert sorted(computed) == [1.0, 2.0]
    alone = jax.jit(jax.vmap(linalg.once_for_equal(square), (None, 0)))
    of_one, _ = alone({"by": jnp.float32(3)}, rows[2:3])
    np.testing.assert_array_equal(of_one, squares[2:3])


@pytest.mark.parametrize("length", [1, 100, 128, 257])
def test_gram_is_the_weighted_product(length):
    random = np.random.default_rng(0)
    matrix = random.normal(size=(length, 40)).astype(np.float32)
    weights = random.uniform(size=40).astype(np.float32)
    found = jax.jit(linalg.gram)(matrix, weights)
    expected = (matrix * weights.astype(np.float64)) @ matrix.T
    np.testing.assert_allclose(np.tril(found), np.tril(expected), atol=1e-4)


@pytest.mark.parametrize("function", [linalg.cholesky, linalg.inverse, linalg.eigh])
def test_decompositions_read_the_lower_triangle_alone(function):
    x = np.random.default_rng(0).normal(size=(70, 90)).astype(np.float32)
    matrix = x @ x.T / 70 + np.eye(70, dtype=np.float32)
    spoiled = np.where(np.tri(70, dtype=bool), matrix, np.nan)
    of_whole, of_spoiled = jax.jit(function)(matrix), jax.jit(function)(spoiled)
    jax.tree.map(np.testing.assert_array_equal, of_whole, of_spoiled)


@pytest.mark.parametrize("length", [1, 63, 100, 257])
def test_inverse_is_numpys(length):
    x = np.random.default_rng(0).normal(size=(length, 2 * length)).astype(np.float32)
    matrix = x @ x.T / length + np.eye(length, dtype=np.float32)
    found = jax.jit(linalg.inverse)(matrix)
    np.testing.assert_allclose(found, np.linalg.inv(matrix), atol=1e-5)
    np.testing.assert_array_equal(found, found.T)
