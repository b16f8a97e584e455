"""What test servers take: class maps of all pictures of a split, in the server's own tree, names and values."""
