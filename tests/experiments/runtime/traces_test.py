import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.runtime import traces
from inpaint_jax.types import Losses


@pytest.fixture(autouse=True)
def as_in_a_new_process(monkeypatch):
    """Returns a function that forgets what this process has compiled."""

    def forget():
        monkeypatch.setattr(traces, "_compiled", {})

    forget()
    return forget


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


def test_a_trace_is_read_again_and_gives_the_same(
    counted, tmp_path, as_in_a_new_process
):
    function, traced = counted
    first = traces.keep(function, "sine", tmp_path)(*arguments())
    assert isinstance(first, Losses)
    assert equal(first, jax.jit(function)(*arguments()))
    traced.clear()
    as_in_a_new_process()
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
    assert files(tmp_path) == 3


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
def test_a_damaged_trace_is_made_anew(counted, tmp_path, damage, as_in_a_new_process):
    function, traced = counted
    first = traces.keep(function, "sine", tmp_path)(*arguments())
    (path,) = (tmp_path / "traces").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    traced.clear()
    for _ in range(2):  # Made anew, and then read.
        as_in_a_new_process()
        assert equal(traces.keep(function, "sine", tmp_path)(*arguments()), first)
    assert traced == [(3,)]


@pytest.mark.parametrize("kept", [True, False])
def test_a_process_traces_once_however_often_it_asks(counted, tmp_path, kept):
    function, traced = counted
    folder = tmp_path if kept else None
    for _ in range(3):
        traces.keep(function, "sine", folder)(*arguments())
    assert traced == [(3,)]


def files(folder):
    return len(list((folder / "traces").iterdir()))


def test_the_structure_of_arguments_counts(tmp_path):
    def function(tree):
        return 2 * tree["a"] if "a" in tree else 100 * tree["b"]

    kept = traces.keep(function, "either", tmp_path)
    x = np.ones(1, np.float32)
    assert kept({"a": x}) == 2
    assert kept({"b": x}) == 100
    assert files(tmp_path) == 2


@pytest.mark.parametrize(
    "setting", ["jax_threefry_partitionable", "jax_enable_x64", "jax_debug_nans"]
)
def test_settings_of_jax_count(tmp_path, setting):
    kept = traces.keep(lambda key: jax.random.normal(key, (4,)), "noise", tmp_path)
    kept(jax.random.key(0))
    before = getattr(jax.config, setting)
    jax.config.update(setting, not before)
    try:
        changed = kept(jax.random.key(0))
        expected = jax.random.normal(jax.random.key(0), (4,))
    finally:
        jax.config.update(setting, before)
    np.testing.assert_allclose(changed, expected, rtol=1e-6)
    assert files(tmp_path) == 2
    kept(jax.random.key(0))
    assert files(tmp_path) == 2


def test_the_library_s_code_counts(counted, tmp_path, monkeypatch):
    kept = traces.keep(counted[0], "sine", tmp_path)
    kept(*arguments())
    for version, text in enumerate(("x = 1", "x = 2")):
        library = tmp_path / f"library{version}"
        (library / "inner").mkdir(parents=True)
        (library / "inner" / "code.py").write_text(text)
        monkeypatch.setattr(traces, "_LIBRARY", library)
        kept(*arguments())
    assert files(tmp_path) == 3


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
