"""Training: one step function a network, recipes, what trainings share."""
