"""What is trained, and how a training is followed."""
