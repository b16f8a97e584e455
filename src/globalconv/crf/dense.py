"""The fully connected CRF: an image and a network's probabilities of its pixels in, refined probabilities out.

K classes, H x W pixels, C channels of the image; N = H * W pixels row by row.
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from globalconv.arrays import AnyArray, Float32Array
from globalconv.crf import inputs, solver_cpu
from globalconv.crf.thread_pool import ThreadPool
from globalconv.errors import InputError, needing_train, suggest


@dataclass(frozen=True, eq=False)
class DenseCRF:
    """Fully connected CRF with Gaussian edges (Kraehenbuehl and Koltun, NIPS 2011), by mean field.

    Its energy is the sum of the unary energies and, over all pairs of pixels with different classes, of
    `appearance_weight * exp(-|dp|^2 / 2 appearance_xy^2 - |dI|^2 / 2 appearance_rgb^2)
    + smoothness_weight * exp(-|dp|^2 / 2 smoothness_xy^2)`.

    As in the authors' own code, whose marginals this gives: kernels are evaluated on the permutohedral lattice, divided
    symmetrically by the square roots of their sums, and hold the pixel itself (i = j).

    Raises `InputError` for invalid values.
    """

    iterations: int = 10
    """Mean-field updates; 0 returns softmax(-energies)."""
    appearance_weight: float = 4.0
    """Cost of different classes at near pixels of similar colours; 0 switches the kernel off."""
    appearance_xy: float = 67.0
    """How far "near" reaches, a standard deviation in pixels."""
    appearance_rgb: float | tuple[float, ...] = 3.0
    """How different "similar" colours may be: a standard deviation in units of the image, for all channels or each."""
    smoothness_weight: float = 3.0
    """Cost of different classes at near pixels, whatever their colours; 0 switches the kernel off."""
    smoothness_xy: float = 1.0
    """Its standard deviation in pixels."""
    compatibility: Any = None
    """Cost of class k beside class l (K, K), times the weights; averaged with its transpose, as the reference does, and
    read-only. None is Potts: 1 for different classes, 0 for the same."""
    device: str = "auto"
    """"auto" works where the probabilities are (arrays: on the CPU); "cpu" and "cuda" (or "cuda:1") there."""

    def __post_init__(self) -> None:
        inputs.check_whole("iterations", self.iterations, least=0)
        for name in ("appearance_weight", "smoothness_weight"):
            inputs.check_weight(name, getattr(self, name))
        for name in ("appearance_xy", "smoothness_xy"):
            inputs.check_deviation(name, getattr(self, name))
        if not (deviations := _as_tuple(self.appearance_rgb)):
            raise InputError("appearance_rgb is empty: give one standard deviation, or one per channel")
        for value in deviations:
            inputs.check_deviation("appearance_rgb", value)
        if self.appearance_rgb is not deviations[0]:  # a list or an array, which cannot be hashed
            object.__setattr__(self, "appearance_rgb", deviations)
        if self.compatibility is not None:
            object.__setattr__(self, "compatibility", inputs.as_costs(self.compatibility))
        object.__setattr__(self, "device", str(self.device))  # torch.device will do
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise InputError(f"device={self.device!r}: {suggest(self.device, ('auto', 'cpu', 'cuda', 'cuda:1'))}")

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, DenseCRF) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[Any, ...]:
        """Return all fields, with the matrix as a tuple, so that they can be compared and hashed."""
        values = (getattr(self, field.name) for field in fields(self))
        return tuple(tuple(value.ravel().tolist()) if isinstance(value, np.ndarray) else value for value in values)

    @classmethod
    def preset(cls, name: str) -> "DenseCRF":
        """Return a published setting by its name in `PRESETS`; `dataclasses.replace` changes one field of it."""
        if name not in PRESETS:
            raise InputError(f"preset={name!r} is no published setting; {suggest(str(name), PRESETS)}")
        return replace(PRESETS[name])

    def __call__(self, image: Any, probabilities: Any) -> Any:
        """Return refined probabilities (K, H, W), float32.

        `image`: (H, W, C) or (H, W), of any number type. `probabilities`: (K, H, W), adding up to 1 over the classes
        within `inputs.TOLERANCE`; values below `inputs.CLIP` count as that. Lists of both, or stacks (B, H, W, C) and
        (B, K, H, W), are a batch: a list, or a stack (B, K, H, W), comes back. A torch tensor of probabilities gives a
        tensor on its device. The arguments are not changed.
        """
        is_list = isinstance(probabilities, list | tuple)
        if not is_list and getattr(probabilities, "ndim", 0) != 4:
            return self._refine(image, "probabilities", probabilities)
        if not hasattr(image, "__len__"):
            raise InputError(f"image is {type(image).__name__}: give as many images as sets of probabilities")
        if len(image) != len(probabilities):
            raise InputError(
                f"{len(image)} images but {len(probabilities)} sets of probabilities: give as many of both"
            )
        refined = [self(*pair) for pair in zip(image, probabilities, strict=True)]
        if is_list:
            return refined
        if _is_tensor(probabilities):
            import torch

            return torch.stack(refined) if refined else probabilities.float()
        return np.stack(refined) if refined else np.empty(probabilities.shape, np.float32)

    def from_energies(self, image: Any, energies: Any) -> Any:
        """Return probabilities (K, H, W) from unary energies (K, H, W): finite numbers, -log of a probability say."""
        return self._refine(image, "energies", energies)

    def from_labels(
        self, image: Any, labels: Any, num_classes: int, confidence: float = 0.7, unknown: int = 255
    ) -> Any:
        """Return probabilities (K, H, W) from class indices (H, W) that are right with probability `confidence`.

        Pixels labelled `unknown` may be anything.
        """
        image_HWC, labels_HW = inputs.as_image(_as_array(image)), inputs.as_numbers("labels", _as_array(labels))
        if labels_HW.shape != image_HWC.shape[:2]:
            raise InputError(f"labels of shape {labels_HW.shape} do not fit an image of {image_HWC.shape[:2]} pixels")
        scores_NK = inputs.scores_from_labels(labels_HW, num_classes, confidence, unknown)
        with ThreadPool() as pool:
            return self._solve(self.problem(image_HWC, scores_NK, num_classes), pool, labels)

    def trace(self, image: Any, probabilities: Any) -> tuple[Any, list[float]]:
        """Return what a call returns for one image, and the KL divergence before and after each iteration.

        The divergence is the reference's (`MeanField.divergence`). Each costs as much as an iteration.
        """
        divergences: list[float] = []
        return self._refine(image, "probabilities", probabilities, divergences), divergences

    def problem(self, image_HWC: AnyArray, scores_NK: Float32Array, classes: int) -> inputs.CrfProblem:
        """Return what a solver computes from, for one image and the scores of its pixels."""
        if self.compatibility is not None and len(self.compatibility) != classes:
            raise InputError(f"compatibility is for {len(self.compatibility)} classes: the pixels have {classes}")
        return inputs.CrfProblem(
            image_HWC, scores_NK, classes, self.iterations, self.appearance_weight, self.appearance_xy,
            _as_tuple(self.appearance_rgb), self.smoothness_weight, self.smoothness_xy, self.compatibility,
        )  # fmt: skip

    def _refine(self, image: Any, name: str, values: Any, divergences: list[float] | None = None) -> Any:
        """Return probabilities from the `values` called `name`: probabilities or energies."""
        image_HWC = inputs.as_image(_as_array(image))
        values_KHW = inputs.as_planes(name, _as_array(values), image_HWC)
        with ThreadPool() as pool:
            if name == "energies":
                scores_NK = inputs.scores_from_energies(values_KHW)
            else:
                scores_NK = inputs.scores_from_probabilities(values_KHW, pool)
            return self._solve(self.problem(image_HWC, scores_NK, len(values_KHW)), pool, values, divergences)

    def _solve(
        self, problem: inputs.CrfProblem, pool: ThreadPool, values: Any, divergences: list[float] | None = None
    ) -> Any:
        """Solve where `device` says; return a tensor on the device of `values` if they are one, else an array."""
        home = str(values.device) if _is_tensor(values) else None
        device = (home or "cpu") if self.device == "auto" else self.device
        if device == "cpu":
            beliefs_KN = solver_cpu.refine(problem, pool, divergences)
        else:
            with needing_train(f"device={device!r}"):
                from globalconv.crf import solver_torch

            beliefs_KN = solver_torch.refine(problem, device, pool, divergences)
        refined_KHW = beliefs_KN.reshape(problem.classes, *problem.image_HWC.shape[:2])
        if home is None:
            return refined_KHW
        import torch

        return torch.from_numpy(refined_KHW).to(home)


def _as_tuple(deviations: Any) -> tuple[float, ...]:
    """Return one deviation for all channels, or one for each, as a tuple."""
    if isinstance(deviations, str) or not isinstance(deviations, Iterable) or getattr(deviations, "ndim", 1) == 0:
        return (deviations,)
    return tuple(deviations)


def _is_tensor(values: Any) -> bool:
    """Return whether `values` is a torch tensor, without importing torch for those who have none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def _as_array(values: Any) -> Any:
    """Return a tensor as an array on the CPU (bfloat16, which numpy lacks, as float32), anything else as it is."""
    if not _is_tensor(values):
        return values
    values = values.detach().cpu()
    return (values.float() if values.is_floating_point() else values).numpy()


PRESETS = {
    "deeplabv2-voc": DenseCRF(10, 4, 67, 3, 3, 1),
    "deeplab-largefov": DenseCRF(10, 4, 49, 5, 3, 3),
    "example": DenseCRF(5, 10, 80, 13, 3, 3),
}
"""Published settings: DeepLabv2-ResNet101 and DeepLab-LargeFOV on VOC, and the reference's own example."""
