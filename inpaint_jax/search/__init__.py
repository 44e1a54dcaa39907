"""The search of the latent space: strategies, batches of searches, refinement."""

from inpaint_jax.search.strategies import (
    BATCH,
    Clock,
    Objective,
    SearchResult,
    SearchState,
    Strategy,
    adam,
    advance,
    evaluate,
    guesses,
    search,
)

__all__ = [
    "BATCH",
    "Clock",
    "Objective",
    "SearchResult",
    "SearchState",
    "Strategy",
    "adam",
    "advance",
    "evaluate",
    "guesses",
    "search",
]
