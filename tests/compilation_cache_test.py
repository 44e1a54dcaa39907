import stat

import pytest


@pytest.fixture
def run(program, environment, tiny_model_file, tmp_path):
    """Runs ``experiments.inpaint`` with ``cache`` as the place for user caches."""

    def run(cache, *arguments):
        own = {**environment, "XDG_CACHE_HOME": str(cache)}
        del own["JAX_COMPILATION_CACHE_DIR"]
        return program(
            "inpaint",
            f"--model={tiny_model_file}",
            f"--output={tmp_path / 'output'}",
            "--limit=1",
            "--steps=2",
            *arguments,
            env=own,
        )

    return run


def entries(folder):
    # Without JAX's own copies from the host: one for every shape, nothing computed.
    found = {path for path in folder.rglob("*-cache") if path.is_file()}
    return {path for path in found if not path.name.startswith("jit_stage-")}


def test_a_second_run_compiles_nothing(run, tmp_path):
    run(tmp_path)
    folder = tmp_path / "inpaint_jax"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    first = entries(folder)
    assert len(first) > 5
    run(tmp_path, "--steps=70")  # Any number of steps is the same program.
    assert entries(folder) == first


def test_a_folder_that_others_can_write_to_is_not_used(run, tmp_path):
    folder = tmp_path / "inpaint_jax"
    folder.mkdir()
    folder.chmod(0o777)
    result = run(tmp_path)
    assert "can be written by others" in result.stderr
    assert not entries(folder)


def test_a_folder_can_be_given_or_none(run, tmp_path):
    run(tmp_path / "default", "--compilation_cache=none")
    assert not (tmp_path / "default").exists()
    run(tmp_path / "default", f"--compilation_cache={tmp_path / 'given'}")
    assert entries(tmp_path / "given")
    assert not (tmp_path / "default").exists()


def test_what_a_killed_run_left_half_written_is_compiled_again(run, tmp_path):
    run(tmp_path)
    first = entries(tmp_path)
    sizes = {path: path.stat().st_size for path in first}
    for path in first:
        path.write_bytes(path.read_bytes()[:100])
    result = run(tmp_path)
    assert "Error reading" not in result.stderr
    assert {path: path.stat().st_size for path in entries(tmp_path)}.keys() == first
    assert all(path.stat().st_size > 0.9 * sizes[path] for path in first)


def test_no_home_costs_only_time(run, tmp_path):
    result = run(tmp_path, "--compilation_cache=~nosuchuser/x")
    assert "nothing compiled is kept" in result.stderr


def test_a_cache_that_cannot_be_made_costs_only_time(run, tmp_path):
    (tmp_path / "inpaint_jax").write_text("in the way")
    result = run(tmp_path)
    assert "nothing compiled is kept" in result.stderr
