"""How often the right class is the first, and how often it is among the first five.

Shapes: N images, K classes.
"""

import numpy as np
import numpy.typing as npt

FIRST = 5
"""ImageNet's other measure: the right class is one of five."""


class TopCount:
    """Counts over images. With fewer than five classes the right one is always among the first five: `top5` is 1."""

    def __init__(self) -> None:
        self.images = self.first = self.among_first = 0

    def update(self, scores_NK: npt.NDArray[np.floating], classes_N: npt.NDArray[np.integer]) -> None:
        """Count images by the scores of all classes and the right class; any score that is no number counts as wrong.

        Of equal scores the class of the lower index comes first, as in an argmax.
        """
        right_N1 = np.take_along_axis(scores_NK, classes_N[:, None], 1)
        index_K = np.arange(scores_NK.shape[1])
        ahead_NK = (scores_NK > right_N1) | ((scores_NK == right_N1) & (index_K < classes_N[:, None]))
        sound_N = np.isfinite(scores_NK).all(1)
        place_N = ahead_NK.sum(1)
        self.images += len(classes_N)
        self.first += int((sound_N & (place_N < 1)).sum())
        self.among_first += int((sound_N & (place_N < FIRST)).sum())

    @property
    def top1(self) -> float:
        """Share of the images whose right class has the highest score."""
        return self.first / self.images

    @property
    def top5(self) -> float:
        """Share of the images whose right class has one of the five highest scores."""
        return self.among_first / self.images
