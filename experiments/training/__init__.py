"""The training loop, the networks that it trains, and the tracking of a run."""
