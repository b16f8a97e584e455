"""Theoretical, effective and valid receptive fields of any network, Figure 3, and advice on kernel sizes."""
