"""Where a search starts: the best of some random latents and of what encoders guess."""

from collections.abc import Iterable, Iterator

import jax
import jax.numpy as jnp

from inpaint_jax.latents import LatentSpace
from inpaint_jax.types import Correct, Generate, Model, Objective, SearchConfig, Seen

_TRUST = 0.85
"""A guess must be below this share of a random start's loss. One that is hardly better
says that the encoders never saw the like, and then it is the worse place to begin: it
lies in one valley, whatever the key, and that may be the wrong one."""


def guesses(
    correctors: Iterable[Correct],
    generate: Generate,
    latents: LatentSpace,
    image: jax.Array,
    mask: jax.Array,
) -> Iterator[tuple[jax.Array, jax.Array]]:
    """What encoders make of an image, guess by guess.

    Each sees the image with its hole black, the mask, and the image of the guess before
    (at first a grey one), and corrects u of z = squash(u), which is 0 at first. Image
    and mask may have a batch axis in front, if the functions take one.

    Args:
      correctors: The encoders, each ``[H, W, 7] -> [*L]``.
      generate: ``[*L] -> [H, W, 3]``.
      latents: The latent space; its ``squash`` makes a latent of what is guessed.
      image: ``[H, W, 3]`` in [-1, 1]; what stands in the hole does not matter.
      mask: ``[H, W, 1]``, 1 = known, 0 = missing.

    Yields:
      The latent ``[*L]`` and its image, once for each encoder. No gradient flows from
      one guess to the one before.
    """
    masked = jnp.where(mask > 0, image, -1.0)
    guess, u = jnp.zeros_like(masked), jnp.zeros((), image.dtype)
    for correct in correctors:
        u = u + correct(jnp.concatenate([masked, mask, guess], -1))
        latent = latents.squash(u)
        generated = generate(latent)
        yield latent, generated
        u, guess = jax.lax.stop_gradient((u, generated))


def choose_start(
    model: Model,
    objective: Objective,
    seen: Seen,
    key: jax.Array,
    *,
    config: SearchConfig,
    guided: jax.Array | bool = True,
) -> jax.Array:
    """The first iterate: of all candidates the one of least context loss.

    Args:
      model: Its latent space is drawn from, its encoders may guess.
      objective: Its context loss decides.
      seen: What is known of the image.
      key: Draws ``config.starts`` latents; consumed.
      config: How many are drawn, and whether the encoders guess.
      guided: ``[]`` whether their guesses may be taken; one must be clearly better than
        what is drawn.

    Returns:
      ``[*L]``.
    """
    keys = jax.random.split(key, config.starts) if config.starts > 1 else key[None]
    latents = jax.vmap(model.latents.sample)(keys)
    correctors = model.correctors if config.guesses else ()
    if len(latents) == 1 and not correctors:
        return latents[0]

    def loss(latent: jax.Array, generated: jax.Array) -> jax.Array:
        return objective(latent, generated, seen).context

    losses = jax.vmap(lambda latent: loss(latent, model.generate(latent)))(latents)
    for latent, image in guesses(
        correctors, model.generate, model.latents, seen.image, seen.mask
    ):
        guessed = jnp.where(guided, loss(latent, image) / _TRUST, jnp.inf)
        latents = jnp.concatenate([latents, latent[None]])
        losses = jnp.append(losses, guessed)
    return latents[jnp.argmin(losses)]
