"""The parameters of a CRF: found on one part of a data set, and what they are worth on another. Start at `run`."""
