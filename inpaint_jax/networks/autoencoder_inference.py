"""An autoencoder's networks in the form that a search runs, as in ``inference``.

``generate``, ``correct`` and ``judge`` take one latent or image, and agree with the
modules of ``autoencoder`` under ``train=False``. Only latents differ: here they are
standard normal, there they are as the encoder finds them in images.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.typing import DTypeLike

from inpaint_jax import linalg
from inpaint_jax.networks import inference, linear_part
from inpaint_jax.networks.inference import Weights, upsample
from inpaint_jax.networks.products import at_least_float32, multiply_exactly
from inpaint_jax.networks.variables import GRID, SLOPE, Variables, dense_name


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


class DecoderWeights(NamedTuple):
    """Weights of a decoder of standard normal latents.

    Attributes:
      linear: The linear part.
      body: The rest, BatchNorm folded in.
    """

    linear: Linear
    body: Weights


class EncoderWeights(NamedTuple):
    """Weights of an encoder to standard normal latents.

    Attributes:
      linear: The linear part of the decoder as it was trained.
      body: The network's own, BatchNorm folded in; of its outputs only the correction
        is kept.
      center: ``[L]``, what the encoder finds in the mean.
      whiten: ``[L, L]``, from differences from that to standard normal latents.
    """

    linear: Linear
    body: Weights
    center: jax.Array
    whiten: jax.Array


def decoder_weights(
    variables: Variables, dtype: DTypeLike = jnp.float32
) -> DecoderWeights:
    """Prepares the variables of an ``autoencoder.Decoder``, with its ``prior``.

    The prior is the normal distribution that was fitted to the latents of images. Its
    ``mean`` and ``factor`` become part of the weights, so that the latents of what is
    returned are standard normal.
    """
    linear, params = _linear(variables), variables["params"]
    center, factor = variables["prior"]["mean"], variables["prior"]["factor"]
    linear = linear._replace(
        components=multiply_exactly(factor.T, linear.components),
        mean=linear.mean + multiply_exactly(center, linear.components),
    )
    dense = {"kernel": multiply_exactly(factor.T, params[dense_name(0)]["kernel"])}
    params = {**params, dense_name(0): dense}
    body = inference.generator_weights({**variables, "params": params}, dtype)
    # What the body adds for the mean, which is this far from 0.
    away = solve_triangular(factor, center, lower=True)
    first, *others = body.biases
    first += jnp.tensordot(away, at_least_float32(body.dense), 1)
    return DecoderWeights(linear, body._replace(biases=(first, *others)))


def encoder_weights(
    variables: Variables, decoder: Variables, dtype: DTypeLike = jnp.float32
) -> EncoderWeights:
    """Prepares the variables of an ``autoencoder.Encoder`` of a ``Decoder``."""
    body = inference.discriminator_weights(variables, dtype)
    linear, prior = _linear(decoder), decoder["prior"]
    length = len(linear.components)
    *biases, last = body.biases
    correction = body._replace(
        dense=body.dense[:, :length], biases=(*biases, last[:length])
    )
    eye = jnp.eye(length, dtype=prior["factor"].dtype)
    whiten = solve_triangular(prior["factor"], eye, lower=True)
    return EncoderWeights(linear, correction, prior["mean"], whiten)


def _linear(decoder: Variables) -> Linear:
    return Linear(*(decoder["params"][name] for name in Linear._fields))


@jax.jit
def generate(weights: DecoderWeights, z: jax.Array) -> jax.Array:
    """``[L]`` to an image ``[S, S, 3]`` in [-1, 1], at least float32."""
    return render(weights, features(weights, z))


@jax.jit
def features(weights: DecoderWeights, z: jax.Array) -> jax.Array:
    """``[L]`` to features ``[s, s, C + 3]``: the body's, and the linear image."""
    linear, body = jax.lax.stop_gradient(weights)
    coarse = linear.mean + jnp.tensordot(z, linear.components, 1)
    x = jax.nn.leaky_relu(inference.grid(body, z), SLOPE)
    for kernel, bias in zip(body.kernels, body.biases[1:], strict=True):
        if x.shape[0] == coarse.shape[0]:
            break
        x = jax.nn.leaky_relu(upsample(x, kernel) + bias, SLOPE)
    return jnp.concatenate([x, coarse], -1)


@jax.jit
def render(weights: DecoderWeights, features: jax.Array) -> jax.Array:
    """Features ``[s, s, C + 3]`` to an image ``[S, S, 3]`` in [-1, 1]."""
    body = jax.lax.stop_gradient(weights.body)
    coarse, x = features[..., -3:], features
    first = (features.shape[0] // GRID).bit_length() - 1
    *inner, last = list(zip(body.kernels, body.biases[1:], strict=True))[first:]
    for kernel, bias in inner:
        x = jax.nn.leaky_relu(upsample(x, kernel) + bias, SLOPE)
    x = upsample(x, last[0]) + last[1]
    image = linear_part.enlarge(coarse, x.shape[0]) + x
    return jnp.clip(image, -1.0, 1.0)


@jax.jit
def correct(weights: EncoderWeights, seen: jax.Array) -> jax.Array:
    """The guess of a latent ``[L]`` from a picture with a hole.

    Args:
      weights: The encoder.
      seen: ``[S, S, 7]``: image, mask and an image of a guess before, as
        ``search.guesses`` puts them together. The last is not used. No gradient
        flows back to it.
    """
    weights, seen = jax.lax.stop_gradient((weights, seen))
    image, mask = seen[..., :3], seen[..., 3:4]
    correction = inference.critic(weights.body, linear_part.see(image, mask))
    found = _guess(weights.linear, image, mask) + correction
    return multiply_exactly(weights.whiten, found - weights.center)


def _guess(linear: Linear, image: jax.Array, mask: jax.Array) -> jax.Array:
    part = linear._asdict()
    factor = _factor(part, mask)
    (right,) = linear_part.evidence(part, image[None], mask)
    return _solve(factor, right)


# ``linalg`` says why not as a batch; the masks of one are often the same.
_factor = linalg.once_for_equal(linear_part.factor)


@jax.custom_batching.sequential_vmap
def _solve(factor: jax.Array, right: jax.Array) -> jax.Array:
    solution: jax.Array = jax.scipy.linalg.cho_solve((factor, True), right)
    return solution


@jax.jit
def judge(weights: Weights, image: jax.Array) -> jax.Array:
    """``[S, S, 3]`` in [-1, 1] to a logit ``[1]``, high if the image looks real."""
    unknown = jnp.zeros((*image.shape[:2], 1), image.dtype)
    return inference.critic(weights, jnp.concatenate([image, unknown], -1))
