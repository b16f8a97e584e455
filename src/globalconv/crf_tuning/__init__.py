"""Search for the parameters of a DenseCRF: found on one part of a data set, reported on another."""
