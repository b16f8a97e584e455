"""Scores: the confusion matrix (arrays only) and the one function that fills it from predictions over a source."""
