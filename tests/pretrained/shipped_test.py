"""The shipped files give what they gave, however the code that reads them changes.

``shipped_outputs.json`` holds what every shipped network made of fixed inputs when its
layers were first named: ``python tests/pretrained/shipped_test.py`` prints it.
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from inpaint_jax.pretrained import load_model, model_names
from inpaint_jax.pretrained.competitors import (
    competitor_names,
    load_context_encoder,
    load_vae,
)

PATH = Path(__file__).with_name("shipped_outputs.json")


def waves(*shape):
    """Numbers in [-1, 1] that no generator of random numbers can change."""
    count = np.arange(np.prod(shape), dtype=np.float64)
    return np.sin(0.7 * count + 0.001 * count**1.5).reshape(shape).astype(np.float32)


def digest(output):
    """Some of the numbers, and the mean and deviation of all."""
    numbers = np.asarray(output, np.float64).ravel()
    some = numbers[:: max(1, len(numbers) // 9)][:9]
    return [*map(float, some), float(numbers.mean()), float(numbers.std())]


def outputs_of_model(name):
    model = load_model(name)
    side = model.image_size
    image, seen = waves(side, side, 3), waves(side, side, 7)
    return {
        "generate": digest(jax.jit(model.generate)(waves(*model.latents.shape))),
        "critic": digest(jax.jit(model.critic)(image)),
        **{
            f"corrector {i}": digest(jax.jit(correct)(seen))
            for i, correct in enumerate(model.correctors)
        },
        "metric": digest(model.metric.blocks),
    }


def outputs_of_context_encoder(name):
    known = np.ones((1, 64, 64, 1), np.float32)
    known[:, 16:48, 16:48] = 0
    fill = load_context_encoder(name)
    return {"fill": digest(fill(waves(1, 64, 64, 3), known, None))}


def outputs_of_vae(name):
    model = load_vae(name)
    latent = waves(*model.latents.shape)
    return {"decode": digest(jax.jit(model.generate)(latent))}


OUTPUTS = {
    "model": (outputs_of_model, model_names()),
    "context_encoder": (
        outputs_of_context_encoder,
        competitor_names("context_encoder"),
    ),
    "vae": (outputs_of_vae, competitor_names("vae")),
}
SHIPPED = [(kind, name) for kind, (_, names) in OUTPUTS.items() for name in names]


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
@pytest.mark.slow
def test_a_shipped_file_gives_what_it_gave(kind, name):
    expected = json.loads(PATH.read_text())[f"{kind}/{name}"]
    found = OUTPUTS[kind][0](name)
    assert found.keys() == expected.keys()
    for network, numbers in expected.items():
        scale = max(1.0, np.abs(numbers).max())
        np.testing.assert_allclose(
            found[network], numbers, atol=1e-4 * scale, err_msg=network
        )


if __name__ == "__main__":
    rows = {f"{kind}/{name}": OUTPUTS[kind][0](name) for kind, name in SHIPPED}
    json.dump(rows, sys.stdout, indent=1)
