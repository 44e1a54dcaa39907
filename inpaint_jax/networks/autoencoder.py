"""A generator that begins as a linear one, with an encoder that sees holes.

The decoder is the sum of two parts. A linear map takes the latent to a coarse image,
which bilinear interpolation enlarges; training begins with the principal components of
the images there, so that before the first step the model is probabilistic PCA (Tipping
and Bishop, 1999). A DCGAN's body (``dcgan``) adds what a linear map cannot express.

For the linear part the most probable latent of a picture with a hole is the solution of
a small system of equations, ``linear_part.guess``. The encoder, a DCGAN's discriminator
with other inputs, corrects it.

As in ``dcgan`` the modules are of a batch and as they are trained; the forms that are
searched are in ``autoencoder_inference``. Inside, images are ``[H, W, B, C]``.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from inpaint_jax.configs import Architecture
from inpaint_jax.networks import linear_part
from inpaint_jax.networks.dcgan import BatchNorm, Convolution, Dense, downward
from inpaint_jax.networks.variables import (
    GRID,
    SLOPE,
    convolution_name,
    dense_name,
    norm_name,
)

COARSE = 32
"""Greatest side of the linear part's image."""
_DEEPEST = 8
"""Greatest number of channels of a layer, as a multiple of the width."""


def coarse_side(architecture: Architecture) -> int:
    """Side of the linear part's image."""
    return min(COARSE, architecture.image_size // 2)


def channels(architecture: Architecture) -> list[int]:
    """Channels from the image inwards: ``width``, ``2 width``, up to ``8 width``."""
    layers = (architecture.image_size // GRID).bit_length() - 1
    return [architecture.width * min(2**layer, _DEEPEST) for layer in range(layers)]


class Decoder(nn.Module):
    """``[B, latent_size]``, normal, to images ``[B, S, S, 3]``, mostly in [-1, 1].

    Attributes:
      architecture: Sizes.
      dtype: As for ``dcgan.Generator``; the linear part is not rounded.
      axis_name: As for ``dcgan.Generator``.
    """

    architecture: Architecture
    dtype: DTypeLike | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, z: jax.Array, train: bool) -> jax.Array:
        size, side = self.architecture, coarse_side(self.architecture)
        dtype = self.dtype
        zeros = nn.initializers.zeros
        mean = self.param("mean", zeros, (side, side, 3), jnp.float32)
        shape = size.latent_size, side, side, 3
        components = self.param("components", zeros, shape, jnp.float32)
        # Variance of a coarse pixel that the components leave; training keeps it.
        self.param("noise", nn.initializers.ones, (), jnp.float32)
        coarse = mean + jnp.tensordot(z, components, 1)

        first, *inner = reversed(channels(size))
        dense = Dense(GRID * GRID * first, dtype, use_bias=False, name=dense_name(0))
        x = jnp.moveaxis(dense(z).reshape(z.shape[0], GRID, GRID, first), 0, 2)
        norm = functools.partial(BatchNorm, self.axis_name)
        x = nn.leaky_relu(norm(name=norm_name(0))(x, train), SLOPE)
        for layer, features in enumerate(inner):
            if x.shape[0] == side:
                x = jnp.concatenate([x, jnp.moveaxis(coarse, 0, 2)], -1)
            x = Convolution(features, "up", dtype, name=convolution_name(layer))(x)
            x = nn.leaky_relu(norm(name=norm_name(layer + 1))(x, train), SLOPE)
        if x.shape[0] == side:
            x = jnp.concatenate([x, jnp.moveaxis(coarse, 0, 2)], -1)
        last = convolution_name(len(inner))
        # Almost nothing at first: training begins with the linear part.
        small = nn.initializers.normal(0.002)
        x = Convolution(3, "up", dtype, use_bias=True, kernel_init=small, name=last)(x)
        return linear_part.enlarge(coarse, size.image_size) + jnp.moveaxis(x, 2, 0)


class Encoder(nn.Module):
    """Pictures with holes to corrections of the linear part's guess.

    ``[B, S, S, 4]``, as ``linear_part.see`` makes it, to the correction ``[B, L]`` and
    the logarithm of the variance ``[B, L]`` of each number.

    Attributes:
      architecture: Sizes; ``width`` is the encoder's own.
      dtype: As for ``dcgan.Generator``.
      axis_name: As for ``dcgan.Generator``.
    """

    architecture: Architecture
    dtype: DTypeLike | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, seen: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        size = self.architecture
        # Hardly a correction at first.
        small = nn.initializers.normal(1e-4)
        outputs, name = 2 * size.latent_size, dense_name(0)
        dense = Dense(outputs, self.dtype, kernel_init=small, name=name)
        norm = functools.partial(BatchNorm, self.axis_name)
        found = downward(seen, train, channels(size), dense, norm, self.dtype)
        correction, log_variance = jnp.split(found, 2, axis=1)
        return correction, log_variance


class Critic(nn.Module):
    """Images ``[B, S, S, 4]`` to logits ``[B]``: how real they look.

    The fourth channel is 1 where a pixel is known to be real and 0 where it may be
    generated. There is no BatchNorm: each image is judged on its own.

    Attributes:
      architecture: Sizes; ``width`` is the critic's own.
      dtype: As for ``dcgan.Generator``.
    """

    architecture: Architecture
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, image: jax.Array, train: bool) -> jax.Array:
        dense = Dense(1, self.dtype, name=dense_name(0))
        sizes = channels(self.architecture)
        return downward(image, train, sizes, dense, None, self.dtype)[:, 0]
