"""Fully connected CRF (DenseCRF) on its own feet: arrays in, arrays out. Start at `dense.DenseCRF`."""

from globalconv.crf.dense import PRESETS, DenseCRF

__all__ = ["PRESETS", "DenseCRF"]
