"""A faster equal form of a trained network: derived from the readable one, for inference only."""
