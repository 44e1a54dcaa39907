"""The two networks of a DCGAN in the form that a search runs.

A search evaluates both thousands of times with the same weights. What does not depend
on z is therefore done once, by ``generator_weights`` and ``discriminator_weights``:
BatchNorm, which is an affine map in inference mode, is folded into kernels and biases,
and the kernels are arranged for their matrix products.

``generate`` and ``critic`` take one latent and one image, and agree with
``dcgan.Generator`` and ``dcgan.Discriminator`` under ``train=False`` to rounding.
Under ``jax.vmap`` the images of a batch share every matrix product. Both functions can
be differentiated with respect to the latent or the image, in reverse mode; the weights
are constants.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.typing import DTypeLike

from inpaint_jax.networks import convolutions
from inpaint_jax.networks.convolutions import Kernel
from inpaint_jax.networks.products import multiply
from inpaint_jax.networks.variables import (
    GRID,
    NORM,
    NORM_EPSILON,
    SLOPE,
    Variables,
    convolution_name,
    dense_name,
    norm_name,
)

_Kernel = jax.Array | Kernel
_Layer = Callable[[jax.Array, _Kernel], jax.Array]


class Weights(NamedTuple):
    """Weights of one network, BatchNorm folded in.

    Attributes:
      dense: ``[L, 4, 4, C]`` for a generator, ``[4 * 4 * C, 2]`` for a discriminator.
      kernels: The kernels of the convolutions, in order.
      biases: ``[channels]`` for every layer in order, the dense one included.
    """

    dense: jax.Array
    kernels: tuple[_Kernel, ...]
    biases: tuple[jax.Array, ...]


def generator_weights(variables: Variables, dtype: DTypeLike = jnp.float32) -> Weights:
    """Prepares the variables of a ``dcgan.Generator``.

    Args:
      variables: ``{"params", "batch_stats"}``.
      dtype: Type of the factors of matrix products; all else is at least float32.
    """
    params = variables["params"]
    *inner, last = _convolutions(variables)
    scale, bias = _affine(variables, 0)
    dense = params[dense_name(0)]["kernel"].reshape(-1, GRID, GRID, scale.size) * scale
    kernels, biases = [], [bias]
    for layer, convolution in enumerate(inner):
        scale, bias = _affine(variables, layer + 1)
        kernels.append(convolution["kernel"] * scale)
        biases.append(bias)
    kernels.append(last["kernel"])
    biases.append(last["bias"])
    return _arranged(dense, kernels, biases, convolutions.arrange_upsample, dtype)


def discriminator_weights(
    variables: Variables, dtype: DTypeLike = jnp.float32
) -> Weights:
    """Prepares the variables of a ``dcgan.Discriminator`` in the same way."""
    dense = variables["params"][dense_name(0)]
    kernels, biases = [], []
    for layer, convolution in enumerate(_convolutions(variables)):
        if "bias" in convolution:  # Then there is no BatchNorm.
            kernels.append(convolution["kernel"])
            biases.append(convolution["bias"])
            continue
        scale, bias = _affine(variables, layer - 1)
        kernels.append(convolution["kernel"] * scale)
        biases.append(bias)
    biases.append(dense["bias"])
    arrange = convolutions.arrange_downsample
    return _arranged(dense["kernel"], kernels, biases, arrange, dtype)


@jax.jit
def generate(weights: Weights, z: jax.Array) -> jax.Array:
    """``[L]`` in [-1, 1] to an image ``[S, S, 3]`` in [-1, 1], at least float32."""
    return render(weights, features(weights, z))


def grid(weights: Weights, z: jax.Array) -> jax.Array:
    """The dense layer of a generator: ``[L]`` to ``[4, 4, C]``, at least float32."""
    length, *shape = weights.dense.shape
    x = multiply(z, weights.dense.reshape(length, -1)).reshape(shape)
    return x + weights.biases[0]


@jax.jit
def features(weights: Weights, z: jax.Array) -> jax.Array:
    """The generator's first half: ``[L]`` to its features ``[8, 8, C]``, not negative.

    They are at least float32. ``render`` turns them into an image.
    """
    weights = jax.lax.stop_gradient(weights)
    x = jax.nn.relu(grid(weights, z))
    return jax.nn.relu(upsample(x, weights.kernels[0]) + weights.biases[1])


@jax.jit
def render(weights: Weights, features: jax.Array) -> jax.Array:
    """The generator's second half: ``[8, 8, C]`` to ``[S, S, 3]``, at least float32."""
    weights = jax.lax.stop_gradient(weights)
    x = features
    for kernel, bias in zip(weights.kernels[1:-1], weights.biases[2:-1], strict=True):
        x = jax.nn.relu(upsample(x, kernel) + bias)
    x = upsample(x, weights.kernels[-1]) + weights.biases[-1]
    return jnp.tanh(x)


@jax.jit
def critic(weights: Weights, image: jax.Array) -> jax.Array:
    """``[S, S, 3]`` in [-1, 1] to logits ``[2]`` (fake, real), at least float32.

    With the weights of an encoder it maps ``[S, S, 7]`` to a correction ``[L]``.
    """
    weights = jax.lax.stop_gradient(weights)
    *inner, last = weights.biases
    x = image
    for kernel, bias in zip(weights.kernels, inner, strict=True):
        x = jax.nn.leaky_relu(downsample(x, kernel) + bias, SLOPE)
    return multiply(x.reshape(-1), weights.dense) + last


def _convolutions(variables: Variables) -> list[Variables]:
    params = variables["params"]
    names = map(convolution_name, itertools.count())
    return [params[name] for name in itertools.takewhile(params.__contains__, names)]


def _affine(variables: Variables, layer: int) -> tuple[jax.Array, jax.Array]:
    """BatchNorm in inference mode: a scale and a bias ``[C]``."""
    name = norm_name(layer)
    params = variables["params"][name][NORM]
    running = variables["batch_stats"][name][NORM]
    scale = params["scale"] / jnp.sqrt(running["var"] + NORM_EPSILON)
    return scale, params["bias"] - running["mean"] * scale


def _arranged(
    dense: jax.Array,
    kernels: list[jax.Array],
    biases: list[jax.Array],
    arrange: Callable[[jax.Array, DTypeLike], _Kernel],
    dtype: DTypeLike,
) -> Weights:
    def rounded(tree: Any) -> Any:
        return jax.tree.map(lambda x: x.astype(dtype), tree)

    high = jnp.dtype(dtype if jnp.dtype(dtype).itemsize >= 4 else jnp.float32)
    return Weights(
        rounded(dense),
        tuple(rounded(arrange(kernel.astype(high), dtype)) for kernel in kernels),
        tuple(bias.astype(high) for bias in biases),
    )


def _per_image(layer: _Layer) -> _Layer:
    """Makes a layer of ``[H, W, B, C]`` one of ``[H, W, C]`` that knows its batch.

    ``jax.vmap`` by itself would put the batch first, and the layer would choose the
    form for a single image. A function with its own rule for ``vmap`` cannot be
    differentiated, so this one has its own rule for derivatives as well.
    """

    def transpose(image: jax.Array, cotangent: jax.Array, kernel: _Kernel) -> jax.Array:
        # The layer is linear, so only the shape of the image matters.
        _, pull_back = jax.vjp(lambda image: layer(image, kernel), image)
        return pull_back(cotangent)[0]

    forward = jax.custom_vjp(_with_batch_rule(layer))
    backward = jax.custom_vjp(_with_batch_rule(transpose))
    forward.defvjp(
        lambda image, kernel: (forward(image, kernel), (image, kernel)),
        lambda saved, cotangent: (backward(saved[0], cotangent, saved[1]), None),
    )
    backward.defvjp(
        lambda image, cotangent, kernel: (backward(image, cotangent, kernel), kernel),
        lambda kernel, cotangent: (None, forward(cotangent, kernel), None),
    )
    return forward


def _with_batch_rule(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Lets ``function(*images, kernel)`` of ``[H, W, B, C]`` take ``[H, W, C]``."""

    @custom_vmap
    def one(*arguments: Any) -> jax.Array:
        *images, kernel = arguments
        return function(*(image[:, :, None] for image in images), kernel)[:, :, 0]

    @one.def_vmap
    def batch(
        size: int, batched: Sequence[Any], *arguments: Any
    ) -> tuple[jax.Array, bool]:
        *images, kernel = arguments
        if any(jax.tree.leaves(batched[-1])):
            raise NotImplementedError("the weights of a network cannot be vmapped over")
        images = [
            jnp.moveaxis(image, 0, 2)
            if is_batched
            else jnp.broadcast_to(
                image[:, :, None], (*image.shape[:2], size, image.shape[2])
            )
            for image, is_batched in zip(images, batched[:-1], strict=True)
        ]
        return jnp.moveaxis(function(*images, kernel), 2, 0), True

    return one


upsample = _per_image(convolutions.upsample)
downsample = _per_image(convolutions.downsample)
