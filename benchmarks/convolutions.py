"""Times the generator's and the discriminator's layers, forward and backward.

    python -m benchmarks.convolutions --batch_size=64 --width=64

Each layer in the project's form and in the tutorials' (``lax.conv_transpose`` and a
strided ``lax.conv_general_dilated``, differentiated by JAX), in turn in one process.
Prints a line of JSON a layer: milliseconds an image for the forward pass and for the
gradients with respect to the image and to the kernel, the least of the repetitions.
"""

import json
import time
from collections.abc import Callable

import jax
from absl import app, flags
from jax import lax

from inpaint_jax.convolutions import KERNEL_SIZE, downsample, upsample

_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Images at once.")
_WIDTH = flags.DEFINE_integer("width", 64, "Channels of the outermost layer.")
_REPETITIONS = flags.DEFINE_integer("repetitions", 7, "Of each measurement.")

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def _tutorial_down(image: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(
        image, kernel, (2, 2), "SAME", dimension_numbers=_DIMENSIONS
    )


def _tutorial_up(image: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_transpose(
        image, kernel, (2, 2), "SAME", dimension_numbers=_DIMENSIONS
    )


def _passes(layer: Callable) -> dict[str, Callable]:
    def loss(image: jax.Array, kernel: jax.Array) -> jax.Array:
        return (layer(image, kernel) ** 2).sum()

    return {
        "forward": jax.jit(layer),
        "image_gradient": jax.jit(jax.grad(loss, 0)),
        "kernel_gradient": jax.jit(jax.grad(loss, 1)),
    }


def main(_: list[str]) -> None:
    batch, width = _BATCH_SIZE.value, _WIDTH.value
    forms = {
        "up": {"project": upsample, "tutorial": _tutorial_up},
        "down": {"project": downsample, "tutorial": _tutorial_down},
    }
    for size, large, small in (
        (4, 8 * width, 4 * width),
        (8, 4 * width, 2 * width),
        (16, 2 * width, width),
        (32, width, 3),
    ):
        for direction, pair in forms.items():
            up = direction == "up"
            side, inputs, outputs = (
                (size, large, small) if up else (2 * size, small, large)
            )
            image = jax.random.normal(jax.random.key(0), (batch, side, side, inputs))
            kernel = jax.random.normal(
                jax.random.key(1), (KERNEL_SIZE, KERNEL_SIZE, inputs, outputs)
            )
            passes = {form: _passes(layer) for form, layer in pair.items()}
            row: dict[str, object] = {
                "layer": f"{direction} {side}x{side}x{inputs} -> {outputs}",
                "megaflops": 2 * size**2 * KERNEL_SIZE**2 * large * small / 1e6,
            }
            for which in ("forward", "image_gradient", "kernel_gradient"):
                best = {form: float("inf") for form in passes}
                for _ in range(_REPETITIONS.value + 1):
                    for form, functions in passes.items():
                        began = time.perf_counter()
                        functions[which](image, kernel).block_until_ready()
                        seconds = time.perf_counter() - began
                        best[form] = min(best[form], seconds)
                for form, seconds in best.items():
                    row[f"{form}_{which}_ms"] = round(1e3 * seconds / batch, 3)
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    app.run(main)
