"""Pictures as files and as arrays, data sets of them, and their order in training."""
