"""The frozen benchmark: its pictures and masks, and scores of anybody's results."""
