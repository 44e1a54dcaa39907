import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.runtime import traces
from inpaint_jax.types import Losses


@pytest.fixture
def counted():
    """A function of a pytree and a key, and the list of its traces."""
    traced = []

    def function(tree, key):
        traced.append(tree["x"].shape)
        noise = jax.random.normal(key, tree["x"].shape)
        return Losses(jnp.sin(tree["x"]) @ tree["y"] + noise.sum(), noise)

    return function, traced


def arguments(length=3):
    x = np.linspace(0.0, 1.0, length, dtype=np.float32)
    return {"x": x, "y": jnp.exp(x)}, jax.random.key(1)


def equal(one, other):
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def test_a_trace_is_read_again_and_gives_the_same(counted, tmp_path):
    function, traced = counted
    first = traces.keep(function, "sine", tmp_path)(*arguments())
    assert isinstance(first, Losses)
    assert equal(first, jax.jit(function)(*arguments()))
    traced.clear()
    again = traces.keep(function, "sine", tmp_path)
    assert equal(again(*arguments()), first)
    assert equal(again(*arguments()), first)
    assert not traced


def test_other_shapes_and_functions_have_their_own(counted, tmp_path):
    function, traced = counted
    kept = traces.keep(function, "sine", tmp_path)
    assert kept(*arguments(3)).prior.shape == (3,)
    assert kept(*arguments(4)).prior.shape == (4,)
    assert traced == [(3,), (4,)]
    doubled = traces.keep(lambda tree, key: 2 * tree["x"], "double", tmp_path)
    assert equal(doubled(*arguments(3)), 2 * arguments(3)[0]["x"])
    assert len(list((tmp_path / "traces").iterdir())) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: b"0" * 100,
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:500] + bytes([whole[500] ^ 1]) + whole[501:],
    ],
    ids=["empty", "other", "half", "bit"],
)
def test_a_damaged_trace_is_made_anew(counted, tmp_path, damage):
    function, traced = counted
    first = traces.keep(function, "sine", tmp_path)(*arguments())
    (path,) = (tmp_path / "traces").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    traced.clear()
    for _ in range(2):  # Made anew, and then read.
        assert equal(traces.keep(function, "sine", tmp_path)(*arguments()), first)
    assert traced == [(3,)]


def test_without_a_folder_nothing_is_written(counted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, _ = counted
    assert equal(
        traces.keep(function, "sine", None)(*arguments()),
        jax.jit(function)(*arguments()),
    )
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_no_fault(counted, tmp_path, caplog):
    function, _ = counted
    (tmp_path / "file").touch()
    found = traces.keep(function, "sine", tmp_path / "file")(*arguments())
    assert equal(found, jax.jit(function)(*arguments()))
    assert "nothing traced is kept" in caplog.text


@pytest.mark.slow
def test_a_program_gives_the_same_with_and_without(program, tmp_path):
    def run(output, cache):
        program(
            "inpaint",
            "--model=house_numbers",
            f"--output={tmp_path / output}",
            f"--compilation_cache={cache}",
            "--steps=2",
            "--limit=1",
        )
        folder = tmp_path / output / "completed"
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    cache = tmp_path / "cache"
    first = run("first", cache)
    (kept,) = cache.rglob("traces/*")
    changed = kept.stat().st_mtime_ns
    assert run("again", cache) == first
    assert [path.stat().st_mtime_ns for path in cache.rglob("traces/*")] == [changed]
    assert run("without", "none") == first
