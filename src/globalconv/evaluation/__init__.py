"""Scores of predictions against label maps: mIoU, accuracy by regions, Boundary IoU, bootstrap intervals."""
