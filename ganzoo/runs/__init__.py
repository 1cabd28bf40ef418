"""A training run: its request, its loop, its folder, and what watches it."""
