"""An autoencoder's networks in the form that a search runs, as in ``inference``.

``generate``, ``correct`` and ``judge`` take one latent or image, and agree with the
modules of ``autoencoder`` under ``train=False``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from inpaint_jax.networks import autoencoder, inference
from inpaint_jax.networks.dcgan import SLOPE, Variables, at_least_float32
from inpaint_jax.networks.inference import Weights, upsample


class Linear(NamedTuple):
    """The linear part of a decoder, in float32.

    Attributes:
      components: ``[L, s, s, 3]``, what each number of a latent adds to the image.
      mean: ``[s, s, 3]``, the image of the latent 0.
      noise: ``[]``, variance of a coarse pixel that the components leave.
    """

    components: jax.Array
    mean: jax.Array
    noise: jax.Array


class LinearAndBody(NamedTuple):
    """Weights of a decoder or an encoder.

    Attributes:
      linear: The linear part of the decoder, which its encoder uses as well.
      body: The network's own, BatchNorm folded in; of an encoder's outputs only the
        correction is kept.
    """

    linear: Linear
    body: Weights


def decoder_weights(
    variables: Variables, dtype: DTypeLike = jnp.float32
) -> LinearAndBody:
    """Prepares the variables of an ``autoencoder.Decoder``."""
    params = variables["params"]
    linear = Linear(*(params[name] for name in Linear._fields))
    return LinearAndBody(linear, inference.generator_weights(variables, dtype))


def encoder_weights(
    variables: Variables, linear: Linear, dtype: DTypeLike = jnp.float32
) -> LinearAndBody:
    """Prepares the variables of an ``autoencoder.Encoder`` of a decoder."""
    body = inference.discriminator_weights(variables, dtype)
    length = len(linear.components)
    *biases, last = body.biases
    correction = body._replace(
        dense=body.dense[:, :length], biases=(*biases, last[:length])
    )
    return LinearAndBody(linear, correction)


@jax.jit
def generate(weights: LinearAndBody, z: jax.Array) -> jax.Array:
    """``[L]`` to an image ``[S, S, 3]`` in [-1, 1], at least float32."""
    return render(weights, features(weights, z))


@jax.jit
def features(weights: LinearAndBody, z: jax.Array) -> jax.Array:
    """``[L]`` to features ``[s, s, C + 3]``: the body's, and the linear image."""
    linear, body = jax.lax.stop_gradient(weights)
    coarse = linear.mean + jnp.tensordot(z, linear.components, 1)
    x = jnp.tensordot(z.astype(body.dense.dtype), body.dense, 1) + body.biases[0]
    x = jax.nn.leaky_relu(x, SLOPE)
    for kernel, bias in zip(body.kernels, body.biases[1:], strict=True):
        if x.shape[0] == coarse.shape[0]:
            break
        x = jax.nn.leaky_relu(upsample(x, kernel) + bias, SLOPE)
    return jnp.concatenate([at_least_float32(x), at_least_float32(coarse)], -1)


@jax.jit
def render(weights: LinearAndBody, features: jax.Array) -> jax.Array:
    """Features ``[s, s, C + 3]`` to an image ``[S, S, 3]`` in [-1, 1]."""
    body = jax.lax.stop_gradient(weights.body)
    coarse, x = features[..., -3:], features.astype(body.dense.dtype)
    first = (features.shape[0] // autoencoder.GRID).bit_length() - 1
    *inner, last = list(zip(body.kernels, body.biases[1:], strict=True))[first:]
    for kernel, bias in inner:
        x = jax.nn.leaky_relu(upsample(x, kernel) + bias, SLOPE)
    x = at_least_float32(upsample(x, last[0]) + last[1])
    image = autoencoder.enlarge(coarse, x.shape[0]) + x
    return jnp.clip(image, -1.0, 1.0)


@jax.jit
def correct(weights: LinearAndBody, seen: jax.Array) -> jax.Array:
    """The guess of a latent ``[L]`` from a picture with a hole.

    Args:
      weights: The encoder.
      seen: ``[S, S, 7]``: image, mask and an image of a guess before, as
        ``search.guesses`` puts them together. The last is not used. No gradient
        flows back to it.
    """
    (linear, body), seen = jax.lax.stop_gradient((weights, seen))
    image, mask = seen[..., :3], seen[..., 3:4]
    return _guess(linear, image, mask) + inference.critic(
        body, autoencoder.see(image, mask)
    )


# One picture after the other: each has a matrix of its own, and ``linalg`` says what
# becomes of a batch of decompositions.
@jax.custom_batching.sequential_vmap
def _guess(linear: Linear, image: jax.Array, mask: jax.Array) -> jax.Array:
    (guess,) = autoencoder.linear_guess(linear._asdict(), image[None], mask)
    return guess


@jax.jit
def judge(weights: Weights, image: jax.Array) -> jax.Array:
    """``[S, S, 3]`` in [-1, 1] to a logit ``[1]``, high if the image looks real."""
    unknown = jnp.zeros((*image.shape[:2], 1), image.dtype)
    return inference.critic(weights, jnp.concatenate([image, unknown], -1))
