"""Fully connected CRF (DenseCRF) on its own feet: arrays in, arrays out. Start at `dense.DenseCRF`."""
