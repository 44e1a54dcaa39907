"""The same DCGAN in plain JAX, in the style of tutorials."""

import jax
import jax.numpy as jnp
from jax import lax

from inpaint_jax.networks.variables import GRID, NORM_EPSILON, SLOPE, Variables

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def generate(variables: Variables, z: jax.Array) -> jax.Array:
    """``[L]`` to ``[S, S, 3]`` by plain ``lax.conv_transpose`` and BatchNorm."""
    params = variables["params"]
    kernels = kernels_of(variables)
    x = (z @ params["Dense_0"]["kernel"]).reshape(1, GRID, GRID, -1)
    for i, kernel in enumerate(kernels):
        x = jax.nn.relu(_normalise(variables, i, x))
        x = lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=_DIMENSIONS)
    return jnp.tanh(x + params[f"_Convolution_{len(kernels) - 1}"]["bias"])[0]


def critic(variables: Variables, image: jax.Array) -> jax.Array:
    """``[S, S, 3]`` to logits ``[2]`` by strided ``lax.conv_general_dilated``."""
    params = variables["params"]
    x = image[None]
    for i, kernel in enumerate(kernels_of(variables)):
        x = lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=_DIMENSIONS
        )
        if i == 0:
            x = x + params["_Convolution_0"]["bias"]
        else:
            x = _normalise(variables, i - 1, x)
        x = jax.nn.leaky_relu(x, SLOPE)
    return x.reshape(-1) @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]


def _normalise(variables: Variables, layer: int, x: jax.Array) -> jax.Array:
    scale, bias, mean, variance = norm_of(variables, layer)
    return (x - mean) / jnp.sqrt(variance + NORM_EPSILON) * scale + bias


def norm_of(variables: Variables, layer: int) -> tuple[jax.Array, ...]:
    """Scale, bias, mean and variance of a BatchNorm."""
    params = variables["params"][f"_BatchNorm_{layer}"]["BatchNorm_0"]
    running = variables["batch_stats"][f"_BatchNorm_{layer}"]["BatchNorm_0"]
    return params["scale"], params["bias"], running["mean"], running["var"]


def kernels_of(variables: Variables) -> list[jax.Array]:
    """The kernels of the convolutions, in order."""
    params = variables["params"]
    count = sum(name.startswith("_Convolution_") for name in params)
    return [params[f"_Convolution_{i}"]["kernel"] for i in range(count)]
