"""A source whose samples take minutes: what is read by processes that somebody stops."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from globalconv.labels import VOC, LabelSpace


@dataclass(frozen=True)
class Sleeping:
    """Twenty samples, none of which comes within a test."""

    name: str = "sleeping"
    labels: LabelSpace = VOC

    def __len__(self) -> int:
        return 20

    def sample_name(self, index: int) -> str:
        return str(index)

    def image(self, index: int) -> NDArray[np.uint8]:
        time.sleep(600)
        return np.zeros((4, 4, 3), np.uint8)

    def label_map(self, index: int) -> NDArray[np.uint8]:
        return np.zeros((4, 4), np.uint8)
