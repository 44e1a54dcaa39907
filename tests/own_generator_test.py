"""What docs/own_generator.md says runs as it stands."""

import re

import jax
import numpy as np
import pytest
from conftest import ROOT

import inpaint_jax

DOCUMENT = ROOT / "docs" / "own_generator.md"


def run(marker=""):
    """Runs the Python blocks of the document with a marker, one after another."""
    text, names = DOCUMENT.read_text(), {"inpaint_jax": inpaint_jax}
    found = list(
        re.finditer(rf"^```python{marker}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    )
    assert found
    for block in found:
        # Tracebacks then name the document's lines.
        padded = "\n" * (text[: block.start()].count("\n") + 1) + block[1]
        exec(compile(padded, str(DOCUMENT), "exec"), names)
    return names


@pytest.mark.slow
def test_every_block_runs():
    names = run()
    assert names["restored"].shape == names["pictures"].shape


def test_the_block_on_pytorch_runs(tmp_path, monkeypatch):
    torch = pytest.importorskip(
        "torch", reason="PyTorch (extra bench) is not installed"
    )
    import torch_networks

    monkeypatch.chdir(tmp_path)
    torch.save(torch_networks.generator().state_dict(), "netG.pth")
    torch.save(torch_networks.discriminator().state_dict(), "netD.pth")
    names = run(" with-torch")
    assert names["faces"].metric is not None
    again = inpaint_jax.load_model("faces.safetensors")
    latent = again.latents.sample(jax.random.key(0))
    np.testing.assert_allclose(
        again.generate(latent), names["faces"].generate(latent), atol=0.02
    )
