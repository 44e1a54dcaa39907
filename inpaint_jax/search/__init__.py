"""The search of the latent space: objectives, strategies, batches, refinement."""

from inpaint_jax.search.directions import with_metric
from inpaint_jax.search.objectives import PaperObjective, paper_objective
from inpaint_jax.search.running import SearchResult, advance, search
from inpaint_jax.search.starts import guesses
from inpaint_jax.search.strategies import adam, keep_best, make_strategy, near_start
from inpaint_jax.search.strategy import Clock, Iterate, Problem, Result, Strategy

__all__ = [
    "Clock",
    "Iterate",
    "PaperObjective",
    "Problem",
    "Result",
    "SearchResult",
    "Strategy",
    "adam",
    "advance",
    "guesses",
    "keep_best",
    "make_strategy",
    "near_start",
    "paper_objective",
    "search",
    "with_metric",
]
