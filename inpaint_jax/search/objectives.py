"""Objectives of the search: the paper's losses, of a latent and its image."""

import dataclasses

import jax
import jax.numpy as jnp

from inpaint_jax.configs import SearchConfig
from inpaint_jax.latents import LatentSpace
from inpaint_jax.losses import context_loss, prior_loss
from inpaint_jax.types import Critic, Losses, Model, Seen, as_pytree


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PaperObjective:
    r"""Eq. 2 of the paper as an ``Objective``.

    .. math::

      \\| W \odot (G(z) - y) \\|_1 + \lambda \log(1 - D(G(z))) - \lambda_z \log p(z)

    The last term is not in the paper; for the paper's latent space it is 0.

    Attributes:
      critic: D; None: the objective has no adversarial prior loss.
      latents: The latent space, whose density p is in the last term.
      prior_weight: lambda of eq. 5.
      latent_weight: lambda_z.
    """

    critic: Critic | None
    latents: LatentSpace = dataclasses.field(metadata={"static": True})
    prior_weight: float = dataclasses.field(default=0.003, metadata={"static": True})
    latent_weight: float = dataclasses.field(default=0.0, metadata={"static": True})

    def __call__(self, latent: jax.Array, generated: jax.Array, seen: Seen) -> Losses:
        """Both terms at one latent ``[*L]`` and its image ``[H, W, 3]``."""
        context = context_loss(generated, seen.image, seen.weights)
        prior = jnp.zeros_like(context)
        if self.critic is not None and self.prior_weight:
            logits = self.critic(generated)
            prior += prior_loss(logits, self.prior_weight).astype(prior.dtype)
        if self.latent_weight:
            density = self.latents.log_density(latent)
            prior -= self.latent_weight * density.astype(prior.dtype)
        return Losses(context, prior)


def paper_objective(model: Model, config: SearchConfig) -> PaperObjective:
    """The paper's objective with a model's critic and a configuration's weights."""
    return PaperObjective(
        as_pytree(model.critic),
        model.latents,
        config.prior_weight,
        config.latent_weight,
    )
