"""What test servers take: class maps of all images of a split, in the server's own tree, names and values."""
