"""Which precision is chosen, and where."""

import jax
import jaxlib
import pytest

from inpaint_jax.networks import precision

INTEL = "processor\t: 0\nflags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\n"
AMD = "processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n"


@pytest.mark.parametrize(
    ("backend", "version", "processor", "expected"),
    [
        ("gpu", "0.10.2", AMD, "bfloat16"),
        ("tpu", "0.10.2", None, "bfloat16"),
        ("cpu", "0.12.0", INTEL, "bfloat16"),
        ("cpu", "0.12.0.1", INTEL, "bfloat16"),
        ("cpu", "1.0.0", INTEL, "bfloat16"),
        ("cpu", "0.10.2", INTEL, "float32"),
        ("cpu", "0.12.0", AMD, "float32"),
        ("cpu", "0.12.0", "nothing of the kind", "float32"),
        ("cpu", "0.12.0", None, "float32"),
    ],
)
def test_auto_is_bfloat16_where_that_is_faster(
    backend, version, processor, expected, monkeypatch, tmp_path
):
    file = tmp_path / "cpuinfo"
    if processor is not None:
        file.write_text(processor, encoding="utf-8")
    flags = precision._processor_flags(file)
    monkeypatch.setattr(precision, "_processor_flags", lambda path: flags)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(jaxlib, "__version__", version)
    assert precision.choose("auto") == expected
    assert precision.choose("auto") in precision.PRECISIONS


@pytest.mark.parametrize("given", precision.PRECISIONS)
def test_what_is_asked_for_is_chosen(given):
    assert precision.choose(given) == given


def test_there_are_no_others():
    with pytest.raises(ValueError, match="one of auto, float32, bfloat16, not int4"):
        precision.choose("int4")
