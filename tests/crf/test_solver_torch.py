"""The torch path, which is for GPUs, on torch's CPU device: the same beliefs as the compiled path."""

from typing import Any

import numpy as np
import pytest

from globalconv.crf import inputs, solver_torch
from globalconv.crf.dense import DenseCRF
from globalconv.crf.thread_pool import ThreadPool

CASES: dict[str, tuple[DenseCRF, tuple[int, ...], int]] = {
    "default": (DenseCRF(), (29, 34, 3), 5),
    "example": (DenseCRF.preset("example"), (30, 31, 3), 21),
    "odd": (DenseCRF(), (3, 3, 3), 2),
    "pixel": (DenseCRF(), (1, 1, 3), 2),
    "grey": (DenseCRF(appearance_rgb=9), (17, 23, 1), 3),
    "matrix": (DenseCRF(compatibility=np.random.default_rng(0).random((4, 4))), (17, 23, 3), 4),
    "scattered keys": (DenseCRF(appearance_rgb=0.05, appearance_xy=5), (9, 11, 12), 3),
    "no kernels": (DenseCRF(appearance_weight=0, smoothness_weight=0), (5, 6, 3), 3),
    "no iterations": (DenseCRF(iterations=0), (5, 6, 3), 3),
}


@pytest.mark.parametrize("name", CASES)
def test_torch_equals_numba(name: str) -> None:
    crf, size, classes = CASES[name]
    random = np.random.default_rng(1)
    image: Any = random.normal(0, 1, size) if size[2] == 12 else random.integers(0, 99, size).astype(np.uint8)
    probabilities = random.dirichlet(np.ones(classes), size[:2]).transpose(2, 0, 1)
    expected, divergences = crf.trace(image, probabilities)
    with ThreadPool() as pool:
        scores_NK = inputs.scores_from_probabilities(probabilities, pool)
        torch_divergences: list[float] = []
        problem = crf.problem(image, scores_NK, classes)
        beliefs_KN = solver_torch.refine(problem, "cpu", pool, torch_divergences)
    assert np.abs(beliefs_KN.reshape(expected.shape) - expected).max() <= 1e-4
    assert torch_divergences == pytest.approx(divergences, rel=1e-4, abs=1e-2)
