"""Image in, prediction out, at the image's own size: the predictor, one prediction, and many files at once."""
