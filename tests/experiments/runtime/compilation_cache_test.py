"""Where compiled code is kept; what ``program.run`` promises of every program."""

import os
import stat
import subprocess
import sys

import pytest

LEAST_SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"

# The smallest program there is, for what is the same in all of them.
SMALL = """
import jax
from experiments.runtime import program
program.run(lambda: print(jax.jit(lambda x: x + 1)(1), jax.jit(lambda x: x * 3)(1)))
"""


@pytest.fixture
def own(environment):
    """The environment with a folder of one's own as the place for user caches."""

    def own(cache):
        changed = {**environment, "XDG_CACHE_HOME": str(cache)}
        del changed["JAX_COMPILATION_CACHE_DIR"]
        del changed[LEAST_SECONDS]
        return changed

    return own


@pytest.fixture
def run(own):
    """Runs the small program with ``cache`` as the place for user caches."""

    def run(cache, *arguments, **variables):
        result = subprocess.run(
            [sys.executable, "-c", SMALL, *arguments],
            capture_output=True,
            text=True,
            env={**own(cache), **variables},
            timeout=400,
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout == "2 3\n"
        return result

    return run


def entries(folder):
    # Without JAX's own copies from the host: one for every shape, nothing computed.
    found = {path for path in folder.rglob("*-cache") if path.is_file()}
    return {path for path in found if not path.name.startswith("jit_stage-")}


@pytest.mark.slow
def test_a_second_run_compiles_nothing(program, own, tiny_model_file, tmp_path):
    def run(steps):
        return program(
            "inpaint",
            f"--model={tiny_model_file}",
            f"--output={tmp_path / 'output'}",
            "--limit=1",
            f"--steps={steps}",
            env=own(tmp_path),
        )

    run(2)
    folder = tmp_path / "inpaint_jax"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    first = entries(folder)
    assert len(first) > 5
    run(70)  # Any number of steps is the same program.
    assert entries(folder) == first


def test_a_folder_that_others_can_write_to_is_not_used(run, tmp_path):
    folder = tmp_path / "inpaint_jax"
    folder.mkdir()
    folder.chmod(0o777)
    result = run(tmp_path)
    assert "can be written by others" in result.stderr
    assert not entries(folder)


@pytest.mark.slow
def test_a_folder_can_be_given_or_none(run, tmp_path):
    run(tmp_path / "default", "--compilation_cache=none")
    assert not (tmp_path / "default").exists()
    run(tmp_path / "default", f"--compilation_cache={tmp_path / 'given'}")
    assert entries(tmp_path / "given")
    assert not (tmp_path / "default").exists()


def test_what_a_killed_run_left_half_written_is_compiled_again(run, tmp_path):
    run(tmp_path)
    first = entries(tmp_path)
    assert len(first) > 1
    sizes = {path: path.stat().st_size for path in first}
    for path in first:
        path.write_bytes(path.read_bytes()[:100])
    result = run(tmp_path)
    assert "Error reading" not in result.stderr
    assert {path: path.stat().st_size for path in entries(tmp_path)}.keys() == first
    assert all(path.stat().st_size > 0.9 * sizes[path] for path in first)


@pytest.mark.slow
def test_what_was_looked_at_is_not_looked_at_again(run, tmp_path):
    run(tmp_path)
    run(tmp_path)
    path = min(entries(tmp_path))
    long_ago = path.stat().st_mtime - 3600
    path.write_bytes(path.read_bytes()[:100])
    os.utime(path, (long_ago, long_ago))
    run(tmp_path)
    assert path.stat().st_size == 100


def test_no_home_costs_only_time(run, tmp_path):
    # Nor is the folder that the environment names used, where another was asked for.
    named = tmp_path / "named"
    result = run(
        tmp_path,
        "--compilation_cache=~nosuchuser/x",
        JAX_COMPILATION_CACHE_DIR=str(named),
    )
    assert "nothing compiled is kept" in result.stderr
    assert not entries(tmp_path)


def test_in_jaxs_own_folder_small_functions_are_kept_unless_jax_is_told(run, tmp_path):
    kept, told = tmp_path / "kept", tmp_path / "told"
    run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(kept))
    run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(told), **{LEAST_SECONDS: "60"})
    assert len(entries(kept)) >= 2
    assert not entries(told)


def test_a_cache_that_cannot_be_made_costs_only_time(run, tmp_path):
    (tmp_path / "inpaint_jax").write_text("in the way")
    result = run(tmp_path)
    assert "nothing compiled is kept" in result.stderr
