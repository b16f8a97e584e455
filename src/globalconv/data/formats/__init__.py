"""One file per layout of data sets on disk."""
