"""Model cards: what a network is, was trained on, scores and was not tested on, for people who did not train it."""
