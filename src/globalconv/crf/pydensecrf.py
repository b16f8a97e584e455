"""The names of pydensecrf, so that its users change one import line.

    from globalconv.crf import pydensecrf as dcrf             # was: import pydensecrf.densecrf as dcrf
    from globalconv.crf.pydensecrf import unary_from_softmax  # was: from pydensecrf.utils import unary_from_softmax

Names, order and meaning of the arguments are pydensecrf's; `solver_cpu` does the computing. Only the errors differ:
wrong shapes and types are an `InputError`, which is a `ValueError` as pydensecrf's. Arrays need be neither contiguous
nor writable. Learning (`gradient`, parameters of kernels) is left out.

N variables (pixels row by row), M labels, d features.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from globalconv.arrays import Float32Array
from globalconv.crf import inputs, kernels
from globalconv.crf.solver_cpu import (
    GaussianKernel,
    MeanField,
    Normalisation,
    PairwiseTerm,
    build_kernel,
    class_planes,
    spatial_kernel,
)
from globalconv.crf.thread_pool import ThreadPool
from globalconv.errors import InputError

CONST_KERNEL, DIAG_KERNEL, FULL_KERNEL = range(3)
"""Which parameters of a kernel could be learned; inference is the same for all, here as there."""
NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER, NORMALIZE_SYMMETRIC = range(4)

_NORMALISATIONS: tuple[Normalisation, ...] = ("none", "before", "after", "symmetric")


class ConstUnary:
    """Unary energies (M, N), for `setUnary`."""

    def __init__(self, u: Any) -> None:
        self.arguments: tuple[Any, ...] = (u,)


class LogisticUnary:
    """Unary energies L @ f of weights (M, d) and features (d, N), for `setUnary`."""

    def __init__(self, L: Any, f: Any) -> None:
        self.arguments: tuple[Any, ...] = (L, f)


class PyDenseCRF:
    """A CRF over `nvar` variables with `nlabels` labels and any features; `DenseCRF` in pydensecrf."""

    def __init__(self, nvar: int, nlabels: int) -> None:
        self._nvar = inputs.check_whole("nvar", nvar, least=1)
        self._nlabels = inputs.check_whole("nlabels", nlabels, least=1)
        self._scores_NK: Float32Array | None = None
        self._terms: list[PairwiseTerm] = []

    def setUnary(self, u: ConstUnary | LogisticUnary) -> None:
        """Take unary energies as an object."""
        if not isinstance(u, ConstUnary | LogisticUnary):
            raise InputError(f"u is {type(u).__name__}: give a ConstUnary or a LogisticUnary, or use `setUnaryEnergy`")
        self.setUnaryEnergy(*u.arguments)

    def setUnaryEnergy(self, u: Any, f: Any = None) -> None:
        """Take unary energies (M, N), or their weights (M, d) for features `f` (d, N): energies = u @ f."""
        energies = inputs.as_numbers("u", u)
        if f is not None:
            features = inputs.as_numbers("f", f)
            if energies.ndim != 2 or features.ndim != 2 or energies.shape[1] != len(features):
                raise InputError(f"u of shape {energies.shape} and f of {features.shape}: give (M, d) and (d, N)")
            energies = np.asarray(energies, np.float32) @ np.asarray(features, np.float32)
        if energies.shape != (self._nlabels, self._nvar):
            raise InputError(f"Bad shape for unary energy (Need {(self._nlabels, self._nvar)}, got {energies.shape})")
        finite = np.nan_to_num(np.asarray(energies, np.float32), nan=np.nan)  # -log(0) is as good as impossible
        self._scores_NK = inputs.scores_from_energies(finite)

    def addPairwiseEnergy(
        self, features: Any, compat: Any, kernel: int = DIAG_KERNEL, normalization: int = NORMALIZE_SYMMETRIC
    ) -> None:
        """Add a Gaussian kernel over features (d, N), already divided by their standard deviations.

        `compat`: a number is the weight of Potts; (M,) and (M, M) are added to the energies as they are, so that costs
        of equal labels are negative (pydensecrf's meaning). A matrix is averaged with its transpose.
        """
        array = inputs.as_numbers("features", features)
        if array.ndim != 2 or array.shape[1] != self._nvar or not len(array):
            raise InputError(f"Bad shape for pairwise energy (Need (?, {self._nvar}), got {array.shape})")
        inputs.check_finite("features", array)
        near = inputs.near_zero(array.T, (1.0,) * len(array))
        costs, normalisation = self._costs(compat), _normalisation(kernel, normalization)
        with ThreadPool() as pool:
            self._add(build_kernel(np.ascontiguousarray(near, np.float32), pool, normalisation), costs)

    def inference(self, niter: int) -> Float32Array:
        """Return marginals (M, N) after `niter` iterations."""
        steps = inputs.check_whole("niter", niter, least=0)
        with ThreadPool() as pool:
            field = self._field(pool)
            beliefs_NK = field.start()
            for _ in range(steps):
                field.step(beliefs_NK)
            return class_planes(beliefs_NK, self._nlabels, pool)

    def startInference(self) -> tuple[Float32Array, None, None]:
        """Return beliefs (M, N) to hand to `stepInference` and `klDivergence`, and two buffers that nothing needs."""
        return self.inference(0), None, None

    def stepInference(self, q: Float32Array, tmp1: None = None, tmp2: None = None) -> None:
        """Make one iteration on beliefs (M, N), in place."""
        with ThreadPool() as pool:
            rows_NK = self._rows(q, pool)
            self._field(pool).step(rows_NK)
            q[:] = class_planes(rows_NK, self._nlabels, pool)

    def klDivergence(self, q: Float32Array) -> float:
        """Return the KL divergence of beliefs (M, N), up to a constant; see `MeanField.divergence`."""
        with ThreadPool() as pool:
            return self._field(pool).divergence(self._rows(q, pool))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name!r} is not supported: compat has pydensecrf's inference, not its learning")

    def _rows(self, q: Float32Array, pool: ThreadPool) -> Float32Array:
        """Return beliefs (M, N) pixel by pixel, padded."""
        if np.shape(q) != (self._nlabels, self._nvar):
            raise InputError(f"Bad shape for beliefs (Need {(self._nlabels, self._nvar)}, got {np.shape(q)})")
        rows_NK: Float32Array = pool.buffers.empty((self._nvar, kernels.padded(self._nlabels)), np.float32)
        rows_NK[:, : self._nlabels], rows_NK[:, self._nlabels :] = np.asarray(q).T, 0
        return rows_NK

    def _field(self, pool: ThreadPool) -> MeanField:
        """Return the mean field of what was added so far; without unary energies all labels are equally likely."""
        if self._scores_NK is None:
            self.setUnaryEnergy(np.zeros((self._nlabels, self._nvar), np.float32))
        assert self._scores_NK is not None
        return MeanField(self._scores_NK, self._nlabels, self._terms, pool)

    def _add(self, kernel: GaussianKernel, costs: float | Float32Array) -> None:
        term = PairwiseTerm(kernel, costs) if isinstance(costs, float) else PairwiseTerm(kernel, 1.0, costs)
        self._terms.append(term)

    def _costs(self, compat: Any) -> float | Float32Array:
        """Return `compat` as the weight of Potts, or as a matrix that is added to the energies."""
        if isinstance(compat, int | float | np.integer | np.floating):
            return inputs.check_number("compat", compat)
        costs = inputs.as_numbers("compat", compat)
        if costs.dtype != np.float32:
            raise InputError(f"compat holds {costs.dtype}: give float32, as pydensecrf wants it, or a single number")
        if costs.shape not in ((self._nlabels,), (self._nlabels, self._nlabels)):
            raise InputError(
                f"compat of shape {costs.shape}: give 1, {self._nlabels} or {self._nlabels} squared numbers"
            )
        return inputs.as_costs(np.diag(costs) if costs.ndim == 1 else costs)


class PyDenseCRF2D(PyDenseCRF):
    """A CRF over the pixels of an image; note the order: width, height. `DenseCRF2D` in pydensecrf."""

    def __init__(self, w: int, h: int, nlabels: int) -> None:
        self._w, self._h = inputs.check_whole("w", w, least=1), inputs.check_whole("h", h, least=1)
        super().__init__(w * h, nlabels)

    def addPairwiseGaussian(
        self, sxy: Any, compat: Any, kernel: int = DIAG_KERNEL, normalization: int = NORMALIZE_SYMMETRIC
    ) -> None:
        """Add a kernel over positions; `sxy`: one standard deviation or (x, y), in pixels."""
        sx, sy = _deviations("sxy", sxy, 2)
        costs, normalisation = self._costs(compat), _normalisation(kernel, normalization)
        with ThreadPool() as pool:
            if normalisation == "symmetric":
                self._add(spatial_kernel(self._h, self._w, sx, sy, pool), costs)
            else:
                features_N2 = inputs.spatial_features(self._h, self._w, sx, sy)
                self._add(build_kernel(features_N2, pool, normalisation), costs)

    def addPairwiseBilateral(
        self, sxy: Any, srgb: Any, rgbim: Any, compat: Any,
        kernel: int = DIAG_KERNEL, normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:  # fmt: skip
        """Add a kernel over positions and colours of an image (H, W, 3) of uint8."""
        (sx, sy), colours = _deviations("sxy", sxy, 2), _deviations("srgb", srgb, 3)
        image = inputs.as_numbers("rgbim", rgbim)
        if image.shape[:2] != (self._h, self._w) or image.ndim != 3:
            raise InputError(f"Bad shape for pairwise bilateral (Need {(self._h, self._w, 3)}, got {image.shape})")
        if image.shape[2] != 3 or image.dtype != np.uint8:
            raise InputError(
                f"addPairwiseBilateral takes RGB images of uint8, not {image.shape[2]} channels of {image.dtype}; for"
                " others use `create_pairwise_bilateral` and `addPairwiseEnergy`"
            )
        costs, normalisation = self._costs(compat), _normalisation(kernel, normalization)
        with ThreadPool() as pool:
            features_N5 = inputs.bilateral_features(image, sx, sy, colours, pool)
            self._add(build_kernel(features_N5, pool, normalisation), costs)


DenseCRF, DenseCRF2D = PyDenseCRF, PyDenseCRF2D
"""pydensecrf's names; in this package `DenseCRF` is another class, so that these have names of their own."""


def _normalisation(kernel_type: int, normalization: int) -> Normalisation:
    if kernel_type not in (CONST_KERNEL, DIAG_KERNEL, FULL_KERNEL):
        raise InputError(f"kernel={kernel_type!r}: give CONST_KERNEL, DIAG_KERNEL or FULL_KERNEL")
    if normalization not in range(len(_NORMALISATIONS)):
        raise InputError(f"normalization={normalization!r}: give one of NO_NORMALIZATION, NORMALIZE_SYMMETRIC, ...")
    return _NORMALISATIONS[normalization]


def _deviations(name: str, value: Any, count: int) -> tuple[float, ...]:
    """Return one standard deviation `count` times, or as many as these, as a tuple."""
    values = tuple(value) if np.ndim(value) else (value,) * count
    if len(values) != count:
        raise InputError(f"{name}={value!r}: give one standard deviation, or {count}")
    return tuple(inputs.check_deviation(name, sd) for sd in values)


def unary_from_softmax(sm: Any, scale: float | None = None, clip: float | None = 1e-5) -> Float32Array:
    """Return -log of probabilities (M, ...) as energies (M, N), float32.

    `scale` in (0, 1] mixes them with the uniform distribution first: scale * sm + (1 - scale) / M. `clip` is the
    least probability; None leaves infinite energies to you.
    """
    probabilities = inputs.as_numbers("sm", sm)
    if not probabilities.ndim or not len(probabilities):
        raise InputError(f"sm of shape {probabilities.shape}: give (classes, ...)")
    mixed: npt.NDArray[Any] = np.asarray(probabilities)
    if scale is not None:
        if not 0 < inputs.check_number("scale", scale) <= 1:
            raise InputError(f"scale={scale}: `scale` needs to be in (0, 1]")
        mixed = scale * mixed + (1 - scale) / len(mixed)
    if clip is not None:
        mixed = np.clip(mixed, inputs.check_number("clip", clip), 1.0)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(mixed).reshape(len(mixed), -1), np.float32)


def unary_from_labels(labels: Any, n_labels: int, gt_prob: float, zero_unsure: bool = True) -> Float32Array:
    """Return energies (M, N) of labels that are right with probability `gt_prob`.

    With `zero_unsure`, 0 means "could be anything" and labels are 1 .. n_labels; otherwise they are 0 .. n_labels-1.
    """
    if not 0 < inputs.check_number("gt_prob", gt_prob) < 1:
        raise InputError(f"gt_prob={gt_prob}: `gt_prob` must be in (0, 1)")
    indices: npt.NDArray[Any] = inputs.as_numbers("labels", labels).reshape(-1)
    if indices.dtype.kind not in "iu":
        raise InputError(f"labels hold {indices.dtype}: give whole numbers")
    first = int(bool(zero_unsure))
    last = inputs.check_whole("n_labels", n_labels, least=1) - 1 + first
    if (wrong := indices[(indices < 0) | (indices > last)]).size:
        raise InputError(f"labels hold {wrong[0]}: expected 0 to {last}")
    scores_NK = inputs.scores_from_labels(indices.astype(np.int64) - first, n_labels, gt_prob, unknown=-1)
    return np.ascontiguousarray(-scores_NK[:, :n_labels].T)


def compute_unary(labels: Any, M: int, GT_PROB: float = 0.5) -> Float32Array:
    """Return what `unary_from_labels` does: its former name."""
    return unary_from_labels(labels, M, GT_PROB)


def softmax_to_unary(sm: Any, GT_PROB: float = 1) -> Float32Array:
    """Return what `unary_from_softmax` does with this scale, unclipped: its former name."""
    return unary_from_softmax(sm, None if GT_PROB == 1 else GT_PROB, clip=None)


def create_pairwise_gaussian(sdims: Any, shape: Any) -> Float32Array:
    """Return features (d, N) for `addPairwiseEnergy`: the positions on a grid of any number of dimensions."""
    sizes = [inputs.check_whole("shape", size, least=1) for size in shape]
    deviations = _deviations("sdims", sdims, len(sizes))
    mesh = np.stack(np.meshgrid(*(np.arange(size, dtype=np.float32) for size in sizes), indexing="ij"))
    return np.asarray(mesh.reshape(len(sizes), -1) / np.asarray(deviations, np.float32)[:, None], np.float32)


def create_pairwise_bilateral(sdims: Any, schan: Any, img: Any, chdim: int = -1) -> Float32Array:
    """Return features (d, N): the positions, then the channels of `img`, whose dimension is `chdim` (-1: it has none).

    `schan`: one standard deviation for all channels, or one each.
    """
    image = np.asarray(inputs.as_numbers("img", img), np.float32)
    if not -image.ndim <= chdim < image.ndim:
        raise InputError(f"chdim={chdim}: an image of shape {image.shape} has the dimensions 0 to {image.ndim - 1}")
    channels_first = image[None] if chdim == -1 else np.moveaxis(image, chdim, 0)
    count = len(channels_first)
    deviations = np.asarray(_deviations("schan", schan, count), np.float32)
    colours = channels_first.reshape(count, -1) / deviations[:, None]
    return np.concatenate([create_pairwise_gaussian(sdims, channels_first.shape[1:]), colours])
