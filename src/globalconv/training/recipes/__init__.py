"""The recipes: plain functions that return one. The list of them is in index."""
