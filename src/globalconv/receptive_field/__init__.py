"""Theoretical, effective and valid receptive fields of any network, Figure 3, and which kernel a data set asks for."""
