"""Recipes, the loop, checkpoints and the run folder. `globalconv.train` is the way in."""
