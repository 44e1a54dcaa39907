"""Start of a search: the best of random latents and encoders' guesses."""

from collections.abc import Iterable, Iterator

import jax
import jax.numpy as jnp

from inpaint_jax.configs import SearchConfig
from inpaint_jax.latents import LatentSpace
from inpaint_jax.types import Correct, Generate, Model, Objective, Seen

_TRUST = 0.85
"""A guess is taken only if its loss is below this share of a random start's. A guess
that is hardly better shows that the encoders never saw such an image. It is then the
worse start, as every key leads to the same valley, which may be the wrong one."""
_TEMPERATURE = 0.5
"""Standard deviation of the latents that ``_simulate`` draws. That of the prior, 1,
makes candidates that differ more, but decoders may break so far out."""


def guesses(
    correctors: Iterable[Correct],
    generate: Generate,
    latents: LatentSpace,
    image: jax.Array,
    mask: jax.Array,
) -> Iterator[tuple[jax.Array, jax.Array]]:
    """Guesses of the latent of an image by encoders, one after the other.

    Each encoder sees the image with a black hole, the mask, and the image of the guess
    before (for the first encoder a grey one). It corrects u, from which z = squash(u);
    u is 0 at first. Image and mask may have a leading batch axis if the functions take
    one.

    Args:
      correctors: The encoders, each ``[H, W, 7] -> [*L]``.
      generate: ``[*L] -> [H, W, 3]``.
      latents: The latent space, whose ``squash`` maps u to a latent.
      image: ``[H, W, 3]`` in [-1, 1]; pixels in the hole are ignored.
      mask: ``[H, W, 1]``, 1 = known, 0 = missing.

    Yields:
      The latent ``[*L]`` and its image, once for each encoder. No gradient flows from
      one guess to the one before.
    """
    masked = jnp.where(mask > 0.5, image, -1.0)
    guess, u = jnp.zeros_like(masked), jnp.zeros((), image.dtype)
    for correct in correctors:
        u = u + correct(jnp.concatenate([masked, mask, guess], -1))
        latent = latents.squash(u)
        generated = generate(latent)
        yield latent, generated
        u, guess = jax.lax.stop_gradient((u, generated))


def draw(latents: LatentSpace, key: jax.Array, count: int) -> jax.Array:
    """Random latents ``[count, *L]``; a single one is drawn by the key itself."""
    keys = jax.random.split(key, count) if count > 1 else key[None]
    return jax.vmap(latents.sample)(keys)


def best_of(latents: jax.Array, losses: jax.Array) -> jax.Array:
    """The latent ``[*L]`` of least loss among ``[N, *L]``; NaN counts as infinite."""
    return latents[jnp.argmin(jnp.where(jnp.isnan(losses), jnp.inf, losses))]


def choose_start(
    model: Model,
    objective: Objective,
    seen: Seen,
    key: jax.Array,
    *,
    config: SearchConfig,
    guided: jax.Array | bool = True,
) -> jax.Array:
    """The first iterate: the candidate of least context loss.

    A search that stays near its start (``config.start_weight``) takes the encoders'
    last guess as it is; and unguided a random latent that agrees with what is known.

    Args:
      model: Latent space to draw from, generator, and encoders to guess.
      objective: The function whose context loss decides.
      seen: The known part of the image.
      key: Draws ``config.starts`` latents; consumed.
      config: Number of random latents, and whether the encoders guess.
      guided: ``[]`` whether guesses may be taken; a guess must be clearly better than
        the random latents.

    Returns:
      The latent ``[*L]``.
    """
    latents = draw(model.latents, key, config.starts)
    correctors = model.correctors if config.guesses else ()
    if len(latents) == 1 and not correctors:
        return latents[0]
    if config.start_weight and correctors:
        guess, _ = last_guess(model, seen.image, seen.mask)
        start = jnp.where(guided, guess, _simulate(model, seen.mask, guess, latents[0]))
        return jnp.where(jnp.isfinite(start).all(), start, latents[0])

    def loss(latent: jax.Array, generated: jax.Array) -> jax.Array:
        return objective(latent, generated, seen).context

    losses = jax.vmap(lambda latent: loss(latent, model.generate(latent)))(latents)
    for latent, image in guesses(
        correctors, model.generate, model.latents, seen.image, seen.mask
    ):
        found = loss(latent, image)
        handicap = (1 / _TRUST - 1) * jnp.abs(found)  # Losses may be negative.
        guessed = jnp.where(guided, found + handicap, jnp.inf)
        latents = jnp.concatenate([latents, latent[None]])
        losses = jnp.append(losses, guessed)
    return best_of(latents, losses)


def last_guess(
    model: Model, image: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The encoders' last guess of an image under a mask: latent ``[*L]`` and image."""
    *_, found = guesses(model.correctors, model.generate, model.latents, image, mask)
    return found


def _simulate(
    model: Model, mask: jax.Array, guess: jax.Array, latent: jax.Array
) -> jax.Array:
    """A random latent ``[*L]`` that agrees with the known pixels.

    A random ``latent`` is moved by the difference of two guesses: that of the picture,
    and that of its own image under the same mask. If generator and encoder were linear,
    and ``_TEMPERATURE`` were 1, this would draw from the posterior (Hoffman and Ribak,
    1991).
    """
    drawn = _TEMPERATURE * latent
    again, _ = last_guess(model, model.generate(drawn), mask)
    return drawn + guess - again
