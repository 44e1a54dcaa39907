"""The DCGAN (Radford et al., 2016) that the paper searches; section 3.4.

The networks as they are trained: Flax modules of a batch. The forms that are searched,
``z -> image`` and ``image -> logits``, are in ``inference``.

Inside, images are ``[H, W, B, C]``, as the convolutions need them.
"""

import functools
import itertools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from inpaint_jax.configs import Architecture
from inpaint_jax.networks.convolutions import KERNEL_SIZE, downsample, upsample
from inpaint_jax.networks.products import multiply
from inpaint_jax.networks.variables import (
    GRID,
    NORM,
    NORM_EPSILON,
    SLOPE,
    convolution_name,
    dense_name,
    norm_name,
)

Module = nn.Module

NORMAL = nn.initializers.normal(0.02)
"""Radford's first weights."""


class BatchNorm(nn.Module):
    """Batch normalisation with Radford's settings."""

    axis_name: str | None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            epsilon=NORM_EPSILON,
            axis_name=self.axis_name,
            scale_init=lambda key, shape, dtype: (
                1.0 + 0.02 * jax.random.normal(key, shape, dtype)
            ),
            name=NORM,
        )(x)


class Dense(nn.Module):
    """A dense layer."""

    features: int
    dtype: DTypeLike | None
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = NORMAL

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        x, kernel = nn.dtypes.promote_dtype(x, kernel)
        x = multiply(x, kernel, self.dtype)
        return _add_bias(self, x) if self.use_bias else x


class Convolution(nn.Module):
    """A convolution that doubles or halves the image."""

    features: int
    direction: str
    dtype: DTypeLike | None
    use_bias: bool = False
    kernel_size: int = KERNEL_SIZE
    kernel_init: nn.initializers.Initializer = NORMAL

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        x, kernel = nn.dtypes.promote_dtype(x, kernel)
        layer = upsample if self.direction == "up" else downsample
        x = layer(x, kernel, self.dtype)
        return _add_bias(self, x) if self.use_bias else x


def _add_bias(layer: Dense | Convolution, x: jax.Array) -> jax.Array:
    """Adds the layer's bias to what it calculated; to be called in its own method."""
    zeros = nn.initializers.zeros
    bias = layer.param("bias", zeros, (layer.features,), jnp.float32)
    return x + bias.astype(x.dtype)


class Generator(nn.Module):
    """``[B, latent_size]`` in [-1, 1] to images ``[B, S, S, 3]`` in [-1, 1].

    Dense to a 4x4 grid, then 5x5 stride-2 transposed convolutions that halve the
    channels each time; BatchNorm and ReLU after all but the last, tanh at the end.

    Attributes:
      architecture: Sizes.
      dtype: Type that the factors of products are rounded to; all else is at
        least float32. None: they are not rounded.
      axis_name: Name of the mesh's axis over which a batch is split, so that BatchNorm
        takes its statistics over the whole batch. With None it takes them over the
        part that it is given.
    """

    architecture: Architecture
    dtype: DTypeLike | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, z: jax.Array, train: bool) -> jax.Array:
        first, *inner = reversed(_channels(self.architecture))
        dtype = self.dtype
        dense = Dense(GRID * GRID * first, dtype, use_bias=False, name=dense_name(0))
        x = dense(z)
        x = jnp.moveaxis(x.reshape(z.shape[0], GRID, GRID, first), 0, 2)
        x = nn.relu(BatchNorm(self.axis_name, name=norm_name(0))(x, train))
        for layer, features in enumerate(inner):
            x = Convolution(features, "up", dtype, name=convolution_name(layer))(x)
            norm = BatchNorm(self.axis_name, name=norm_name(layer + 1))
            x = nn.relu(norm(x, train))
        last = convolution_name(len(inner))
        x = Convolution(3, "up", dtype, use_bias=True, name=last)(x)
        return jnp.moveaxis(jnp.tanh(x), 2, 0)


class Discriminator(nn.Module):
    """Images ``[B, S, S, 3]`` in [-1, 1] to logits ``[B, 2]`` (fake, real).

    The generator in reverse, with the two classes of a softmax at the end. It is also
    the encoder of a VAE, whose outputs are mean and logarithm of the variance of a
    normal distribution of latents, ``[B, 2 L]``.

    Attributes:
      architecture: Sizes.
      dtype: As for ``Generator``.
      axis_name: As for ``Generator``.
      outputs: Number of outputs.
    """

    architecture: Architecture
    dtype: DTypeLike | None = None
    axis_name: str | None = None
    outputs: int = 2

    @nn.compact
    def __call__(self, image: jax.Array, train: bool) -> jax.Array:
        dense = Dense(self.outputs, self.dtype, name=dense_name(0))
        norm = functools.partial(BatchNorm, self.axis_name)
        channels = _channels(self.architecture)
        return downward(image, train, channels, dense, norm, self.dtype)


class Encoder(nn.Module):
    """An image with a hole, and a guess, to a correction of the guess's latent.

    The discriminator with other inputs and outputs: ``[B, S, S, 7]`` (the image with
    its hole black, the mask and a generated image, as ``search.guesses`` puts them
    together) to ``[B, L]``.

    Attributes:
      architecture: Sizes; ``width`` is the encoder's own.
      dtype: As for ``Generator``.
      axis_name: As for ``Generator``.
    """

    architecture: Architecture
    dtype: DTypeLike | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, image: jax.Array, train: bool) -> jax.Array:
        # Almost no correction at first: training is slow to recover from random ones.
        small = nn.initializers.normal(0.001)
        outputs = self.architecture.latent_size
        name = dense_name(0)
        dense = Dense(outputs, self.dtype, kernel_init=small, name=name)
        norm = functools.partial(BatchNorm, self.axis_name)
        channels = _channels(self.architecture)
        return downward(image, train, channels, dense, norm, self.dtype)


class ContextEncoder(nn.Module):
    """Images with holes ``[B, S, S, 3]`` in [-1, 1] to whole ones, in [-1, 1].

    Pathak et al. (2016): 4x4 convolutions of stride 2 with LeakyReLU 0.2 (for the
    paper's 64 pixels of 64, 64, 128, 256 and 512 channels, down to 2x2), a dense
    bottleneck, and the same layers in reverse with ReLU and, at the end, tanh. All
    layers but the first and the last are followed by BatchNorm.

    Attributes:
      architecture: Sizes; ``latent_size`` is that of the bottleneck.
      dtype: As for ``Generator``.
      axis_name: As for ``Generator``.
    """

    architecture: Architecture
    dtype: DTypeLike | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, image: jax.Array, train: bool) -> jax.Array:
        dtype, size = self.dtype, self.architecture
        channels = [size.width, *_channels(size)]

        norms, convolutions = itertools.count(), itertools.count()

        def normalise(x: jax.Array) -> jax.Array:
            norm = BatchNorm(self.axis_name, name=norm_name(next(norms)))
            return norm(x, train)

        def convolve(
            x: jax.Array, features: int, direction: str, bias: bool = False
        ) -> jax.Array:
            name = convolution_name(next(convolutions))
            layer = Convolution(features, direction, dtype, bias, 4, name=name)
            return layer(x)

        x = jnp.moveaxis(image, 0, 2)
        for layer, features in enumerate(channels):
            x = convolve(x, features, "down", bias=layer == 0)
            x = nn.leaky_relu(x if layer == 0 else normalise(x), SLOPE)
        height, width, batch, innermost = x.shape
        x = jnp.moveaxis(x, 2, 0).reshape(batch, -1)
        leaky_relu = functools.partial(nn.leaky_relu, negative_slope=SLOPE)
        for name, features, activation in (
            (dense_name(0), size.latent_size, leaky_relu),
            (dense_name(1), height * width * innermost, nn.relu),
        ):
            dense = Dense(features, dtype, use_bias=False, name=name)
            x = activation(normalise(dense(x)))
        x = jnp.moveaxis(x.reshape(batch, height, width, innermost), 0, 2)
        for features in reversed(channels[:-1]):
            x = nn.relu(normalise(convolve(x, features, "up")))
        x = convolve(x, 3, "up", bias=True)
        return jnp.moveaxis(jnp.tanh(x), 2, 0)


def _channels(architecture: Architecture) -> list[int]:
    """Channels from the image inwards: ``width``, ``2 width``, ``4 width``, ..."""
    layers = (architecture.image_size // GRID).bit_length() - 1
    return [architecture.width * 2**layer for layer in range(layers)]


def downward(
    image: jax.Array,
    train: bool,
    channels: Sequence[int],
    dense: Dense,
    norm: Callable[..., BatchNorm] | None,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    """The generator in reverse: images ``[B, S, S, C]`` to numbers ``[B, N]``.

    5x5 stride-2 convolutions with LeakyReLU 0.2 and BatchNorm on all but the first, and
    the dense layer. To be called in a compact method, whose module owns the layers.

    Args:
      image: The images.
      train: Whether BatchNorm takes the batch's statistics.
      channels: Channels of the convolutions.
      dense: The last layer.
      norm: Makes a BatchNorm of a name; None: there is none, and every convolution
        has a bias.
      dtype: As for ``Generator``.
    """
    x = jnp.moveaxis(image, 0, 2)
    for layer, features in enumerate(channels):
        bare = layer == 0 or norm is None
        name = convolution_name(layer)
        x = Convolution(features, "down", dtype, use_bias=bare, name=name)(x)
        if norm is not None and not bare:
            x = norm(name=norm_name(layer - 1))(x, train)
        x = nn.leaky_relu(x, SLOPE)
    x = jnp.moveaxis(x, 2, 0).reshape(image.shape[0], -1)
    return dense(x)
