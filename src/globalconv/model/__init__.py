"""Tensors in, tensors out: the blocks of the paper, the backbones and the network. Knows no file and no colour."""
