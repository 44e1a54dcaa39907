"""The layers, the networks, and their inference forms."""
