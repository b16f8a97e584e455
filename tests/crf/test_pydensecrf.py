"""pydensecrf's own checks and the calculations of its examples, with only the import line changed."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from globalconv.crf import compat
from globalconv.crf import pydensecrf as dcrf
from globalconv.crf.dense import DenseCRF
from globalconv.errors import InputError

FLAT = {"sxy": 2, "srgb": 2, "compat": 3}


def square() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Energies (2, 100) of a frame and of a small square, and a white square to see."""
    frame, middle = np.zeros((10, 10), np.float32), np.zeros((10, 10), np.float32)
    frame[:, [0, -1]] = frame[[0, -1]] = 1
    middle[4:7, 4:7] = 1
    likely = np.stack([frame.ravel(), middle.ravel()]) + 1
    image = np.zeros((10, 10, 3), np.uint8)
    image[2:8, 2:8] = 255
    return -np.log(likely / (likely.sum(0))), image


@pytest.fixture(params=["own", "peer"])
def either(request: pytest.FixtureRequest) -> tuple[ModuleType, ModuleType]:
    """The package and its helpers: ours, and pydensecrf where it is importable."""
    if request.param == "own":
        return dcrf, dcrf
    reason = "pydensecrf2 (extra crf-check, needs a compiler) is not here"
    return pytest.importorskip("pydensecrf.densecrf", reason=reason), pytest.importorskip("pydensecrf.utils")


@pytest.fixture
def peers() -> tuple[ModuleType, ModuleType]:
    reason = "pydensecrf2 (extra crf-check, needs a compiler) is not here"
    return pytest.importorskip("pydensecrf.densecrf", reason=reason), pytest.importorskip("pydensecrf.utils")


def test_features_by_hand_equal_those_of_an_image(either: tuple[ModuleType, ModuleType]) -> None:
    package, utils = either
    energies, image = square()
    general, flat = package.DenseCRF(100, 2), package.DenseCRF2D(10, 10, 2)
    features = utils.create_pairwise_bilateral(sdims=(2, 2), schan=2, img=image, chdim=2)
    general.setUnaryEnergy(energies)
    flat.setUnaryEnergy(energies)
    general.addPairwiseEnergy(features, compat=3)
    flat.addPairwiseBilateral(rgbim=image, **FLAT)
    maps = [np.argmax(model.inference(10), axis=0).reshape(10, 10) for model in (general, flat)]
    assert (maps[0] == maps[1]).all() and set(maps[0].flat) == {0, 1}


def test_compat_of_another_type_is_refused(either: tuple[ModuleType, ModuleType]) -> None:
    model = either[0].DenseCRF2D(10, 10, 2)
    model.setUnaryEnergy(np.ones((2, 100), np.float32))
    with pytest.raises(ValueError, match=r"float32|dtype"):
        model.addPairwiseBilateral(3, 3, np.zeros((10, 10, 3), np.uint8), np.array([1.0, 2.0]))


def annotation(package: ModuleType, utils: ModuleType, general: bool) -> tuple[Any, list[float]]:
    """The example `inference.py`: scribbles with unknown pixels, five iterations, then KL step by step."""
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (5, 7, 3)).repeat(8, 0).repeat(6, 1)[:37, :41].astype(np.uint8)
    image = np.ascontiguousarray(image + random.integers(0, 9, image.shape, np.uint8))
    labels = random.integers(0, 4, (5, 7)).repeat(8, 0).repeat(6, 1)[:37, :41]
    energies = utils.unary_from_labels(labels, 3, gt_prob=0.7, zero_unsure=True)
    normal = {"kernel": package.DIAG_KERNEL, "normalization": package.NORMALIZE_SYMMETRIC}
    if general:
        model = package.DenseCRF(37 * 41, 3)
        model.setUnaryEnergy(energies)
        model.addPairwiseEnergy(utils.create_pairwise_gaussian((3, 3), image.shape[:2]), compat=3, **normal)
        features = utils.create_pairwise_bilateral((80, 80), (13, 13, 13), img=image, chdim=2)
        model.addPairwiseEnergy(features, compat=10, **normal)
    else:
        model = package.DenseCRF2D(41, 37, 3)
        model.setUnaryEnergy(energies)
        model.addPairwiseGaussian(sxy=(3, 3), compat=3, **normal)
        model.addPairwiseBilateral(sxy=(80, 80), srgb=(13, 13, 13), rgbim=image, compat=10, **normal)
    beliefs = np.array(model.inference(5))
    q, tmp1, tmp2 = model.startInference()
    divergences = []
    for _ in range(5):
        divergences.append(model.klDivergence(q))
        model.stepInference(q, tmp1, tmp2)
    assert np.abs(np.array(q) - beliefs).max() < 1e-5
    return beliefs, divergences


@pytest.mark.parametrize("general", [True, False])
def test_example_of_scribbles(peers: tuple[ModuleType, ModuleType], general: bool) -> None:
    own, own_divergences = annotation(dcrf, dcrf, general)
    beliefs, divergences = annotation(*peers, general)
    assert np.abs(own - beliefs).max() <= 1e-3
    assert own_divergences == pytest.approx(divergences, rel=1e-4)


def one_channel(package: ModuleType, utils: ModuleType, steps: int) -> tuple[Any, float]:
    """The notebook without colours: a blob of probability, an image of one channel, a tiny deviation."""
    height, width = 100, 128
    y, x = np.mgrid[:height, :width]
    blob = np.exp(-((y - height // 2) ** 2 + (x - width // 2) ** 2) / (2 * (height // 4) * (width // 4)))
    blob = 0.5 + 0.2 * ((blob - blob.min()) / (blob.max() - blob.min()) - 0.5)
    image = np.zeros((height, width, 1), np.uint8)
    image[height // 3 : 2 * height // 3, width // 4 : 3 * width // 4] = 1
    model = package.DenseCRF2D(width, height, 2)
    model.setUnaryEnergy(utils.unary_from_softmax(np.stack([blob, 1 - blob])))
    model.addPairwiseEnergy(utils.create_pairwise_bilateral((10, 10), (0.01,), image, 2), compat=10)
    q, tmp1, tmp2 = model.startInference()
    for _ in range(steps):
        model.stepInference(q, tmp1, tmp2)
    return np.array(q), model.klDivergence(q)


@pytest.mark.parametrize("steps", [0, 5, 25, 75])
def test_example_of_one_channel(peers: tuple[ModuleType, ModuleType], steps: int) -> None:
    own, own_divergence = one_channel(dcrf, dcrf, steps)
    beliefs, divergence = one_channel(*peers, steps)
    assert np.abs(own - beliefs).max() <= 1e-3
    assert own_divergence == pytest.approx(divergence, rel=1e-3)


def test_without_kernels_energies_stay_what_they_are(either: tuple[ModuleType, ModuleType]) -> None:
    """The notebook's first inference: ten iterations of nothing."""
    random = np.random.default_rng(0)
    probabilities = np.ascontiguousarray(random.dirichlet(np.ones(2), (12, 9)).transpose(2, 0, 1))
    model = either[0].DenseCRF2D(9, 12, 2)
    model.setUnaryEnergy(either[1].unary_from_softmax(probabilities))
    assert np.array(model.inference(10)) == pytest.approx(probabilities.reshape(2, -1), abs=1e-5)


def four_channels(package: ModuleType, utils: ModuleType, schan: Any) -> Any:
    """The test of issue 26: channels that are not three, one deviation for all, many iterations."""
    y, x = np.mgrid[:40, :40]
    blob = np.exp(-((y - 20) ** 2 + (x - 20) ** 2) / 200)
    image = np.zeros((40, 40, 4), np.uint8)
    image[12:28, 12:28] = 1
    model = package.DenseCRF2D(40, 40, 2)
    model.setUnaryEnergy(utils.unary_from_softmax(np.stack([0.4 + 0.2 * blob, 0.6 - 0.2 * blob])))
    model.addPairwiseEnergy(utils.create_pairwise_bilateral(sdims=(10, 10), schan=schan, img=image, chdim=2), compat=10)
    return np.array(model.inference(100))


@pytest.mark.parametrize("schan", [0.01, (0.01,) * 4])
def test_example_of_four_channels(peers: tuple[ModuleType, ModuleType], schan: Any) -> None:
    assert np.abs(four_channels(dcrf, dcrf, schan) - four_channels(*peers, schan)).max() <= 1e-3


def test_a_square_comes_out_of_four_channels(either: tuple[ModuleType, ModuleType]) -> None:
    labels = four_channels(*either, 0.01).argmax(0).reshape(40, 40)
    assert (labels[12:28, 12:28] == 0).all() and labels.mean() == pytest.approx(1 - (16 / 40) ** 2)


def volume(package: ModuleType, utils: ModuleType) -> Any:
    """The test of issue 29: an image in three dimensions, a full kernel."""
    shape, random = (6, 5, 7), np.random.default_rng(0)
    model = package.DenseCRF(210, 5)
    probabilities = np.ascontiguousarray(random.dirichlet(np.ones(5), shape).transpose(3, 0, 1, 2))
    model.setUnaryEnergy(utils.unary_from_softmax(probabilities))
    features = utils.create_pairwise_gaussian(sdims=(1.0, 1.0, 1.0), shape=shape)
    model.addPairwiseEnergy(features, compat=3, kernel=package.FULL_KERNEL, normalization=package.NORMALIZE_SYMMETRIC)
    return np.array(model.inference(5))


def test_example_of_a_volume(peers: tuple[ModuleType, ModuleType]) -> None:
    assert np.abs(volume(dcrf, dcrf) - volume(*peers)).max() <= 1e-3


def test_energies_of_another_shape_are_refused_at_once(either: tuple[ModuleType, ModuleType]) -> None:
    package, utils = either
    with pytest.raises(ValueError, match="Bad shape for unary energy"):
        package.DenseCRF(210, 5).setUnaryEnergy(utils.unary_from_softmax(np.full((5, 5, 7), 0.2, np.float32)))


def test_unary_of_labels_by_hand(either: tuple[ModuleType, ModuleType]) -> None:
    """0 may be anything; 1 to 3 are right with 0.8, and the others share the rest."""
    columns = np.array([[1 / 3] * 3, [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]).T
    expected = -np.log(columns[:, [0, 1, 2, 3, 3, 2, 1, 0]])
    for function in (either[1].compute_unary, either[1].unary_from_labels):
        assert function(np.array([[0, 1, 2, 3], [3, 2, 1, 0]]), 3, 0.8) == pytest.approx(expected, abs=1e-6)


def test_the_former_names_of_the_helpers(either: tuple[ModuleType, ModuleType]) -> None:
    package, utils = either
    shares = np.ascontiguousarray(np.random.default_rng(0).dirichlet(np.ones(3), 8).T)
    assert utils.softmax_to_unary(shares) == pytest.approx(-np.log(shares), abs=1e-6)
    assert utils.softmax_to_unary(shares, 0.7) == pytest.approx(utils.unary_from_softmax(shares, 0.7, None), abs=1e-6)
    energies = utils.unary_from_softmax(shares)
    weights, features = np.eye(3, dtype=np.float32), energies
    expected = np.exp(-energies) / np.exp(-energies).sum(0)
    for unary in (package.ConstUnary(energies), package.LogisticUnary(weights, features)):
        model = package.DenseCRF(8, 3)
        model.setUnary(unary)
        assert np.array(model.inference(1)) == pytest.approx(expected, abs=1e-5)


def test_energies_come_back_as_a_matrix(either: tuple[ModuleType, ModuleType]) -> None:
    """What pydensecrf's test of its matrices shows: values survive, float32, two dimensions, rows before columns."""
    energies = np.random.default_rng(0).normal(0, 1, (3, 4)).astype(np.float32)
    model = either[0].DenseCRF(4, 3)
    model.setUnaryEnergy(energies)
    beliefs = np.array(model.inference(0))
    assert beliefs.shape == (3, 4) and beliefs.dtype == np.float32
    assert np.log(beliefs[0] / beliefs[2]) == pytest.approx(energies[2] - energies[0], abs=1e-5)
    start, *_ = model.startInference()
    assert (np.array(start) == beliefs).all()


NO_MATRIX = {"three dimensions": np.ones((3, 4, 1), np.float32), "one": np.ones(12, np.float32), "nothing": None}


@pytest.mark.parametrize("kind", NO_MATRIX)
def test_energies_that_are_no_matrix_are_refused(either: tuple[ModuleType, ModuleType], kind: str) -> None:
    model = either[0].DenseCRF(4, 3)
    for call in (model.setUnaryEnergy, lambda features: model.addPairwiseEnergy(features, 3)):
        with pytest.raises((ValueError, TypeError)):
            call(NO_MATRIX[kind])


def test_float64_is_accepted() -> None:
    """pydensecrf refuses float64, "a pretty common user error": here they are what they look like."""
    energies, features = np.random.default_rng(0).normal(0, 1, (2, 3, 4))
    beliefs = []
    for kind in (np.float32, np.float64):
        model = dcrf.DenseCRF(4, 3)
        model.setUnaryEnergy(energies.astype(kind))
        model.addPairwiseEnergy(features.astype(kind), 3)
        beliefs.append(model.inference(2))
    assert beliefs[0] == pytest.approx(beliefs[1], abs=1e-6)


def general_model(package: ModuleType, normalization: str, compat: Any) -> Any:
    random = np.random.default_rng(1)
    model = package.DenseCRF(301, 3)
    model.setUnaryEnergy(random.uniform(0, 2, (3, 301)).astype(np.float32))
    model.addPairwiseEnergy(
        random.normal(0, 1, (4, 301)).astype(np.float32), compat, package.FULL_KERNEL, getattr(package, normalization)
    )
    return np.array(model.inference(4))


COMPATS: dict[str, Any] = {
    "number": 0.5,
    "negative": -0.5,
    "diagonal": np.array([-1, 0, 0.5], np.float32),
    "matrix": np.array([[0, 1, 2], [0.5, 0, 1], [1, 3, -1]], np.float32),
}


@pytest.mark.parametrize(
    "normalization", ["NO_NORMALIZATION", "NORMALIZE_BEFORE", "NORMALIZE_AFTER", "NORMALIZE_SYMMETRIC"]
)
@pytest.mark.parametrize("compat", COMPATS)
def test_every_normalization_and_compatibility(
    peers: tuple[ModuleType, ModuleType], normalization: str, compat: str
) -> None:
    scale = 0.05 if normalization == "NO_NORMALIZATION" else 1.0
    cost = COMPATS[compat] * (scale if isinstance(COMPATS[compat], float) else np.float32(scale))
    own, beliefs = (general_model(package, normalization, cost) for package in (dcrf, peers[0]))
    assert np.abs(own - beliefs).max() <= 1e-3


@pytest.mark.parametrize("clip", [None, 1e-5, 0.2])
@pytest.mark.parametrize("scale", [None, 0.7, 1.0])
def test_helpers_are_the_same(peers: tuple[ModuleType, ModuleType], scale: float | None, clip: float | None) -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(4), (6, 7)).transpose(2, 0, 1)
    labels, volume = random.integers(0, 5, (6, 7)), random.uniform(0, 9, (2, 3, 4, 5))
    pairs = [
        (
            utils.unary_from_softmax(probabilities, scale, clip),
            utils.unary_from_labels(labels, 4, 0.6),
            utils.unary_from_labels(labels, 5, 0.6, zero_unsure=False),
            utils.create_pairwise_gaussian((2, 3, 4), (3, 4, 5)),
            utils.create_pairwise_bilateral((2, 3, 4), (5, 6), volume, 0),
            utils.create_pairwise_bilateral((2, 3), 5, volume[0, 0]),
        )
        for utils in (dcrf, peers[1])
    ]
    for own, other in zip(*pairs, strict=True):
        assert own.dtype == np.float32 and own.shape == other.shape
        assert own == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize(
    ("labels", "zero_unsure", "message"), [([4], True, "4: expected 0 to 3"), ([-1], True, "-1: expected 0 to 3"),
                                        ([3], False, "3: expected 0 to 2")]
)  # fmt: skip
def test_wrong_labels_are_named(labels: list[int], zero_unsure: bool, message: str) -> None:
    with pytest.raises(InputError, match=f"^labels hold {message}$"):
        dcrf.unary_from_labels(labels, 3, 0.7, zero_unsure)


def test_an_offset_of_all_features_changes_nothing() -> None:
    features = np.random.default_rng(0).integers(0, 9, (3, 50)).astype(np.float64)
    features[:, 0] = 0
    beliefs = []
    for shift in (0, 2.0**23):
        model = dcrf.DenseCRF(50, 2)
        model.setUnaryEnergy(np.stack([features[0], features[1]]))
        model.addPairwiseEnergy(features + shift, 3)
        beliefs.append(model.inference(3))
    assert (beliefs[0] == beliefs[1]).all()


def test_a_model_is_the_crf(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    image = random.integers(0, 255, (21, 19, 3), np.uint8)
    probabilities = random.dirichlet(np.ones(3), (21, 19)).transpose(2, 0, 1).astype(np.float32)
    model = dcrf.DenseCRF2D(19, 21, 3)
    model.setUnaryEnergy(dcrf.unary_from_softmax(probabilities))
    model.addPairwiseBilateral(67, 3, image, 4)
    model.addPairwiseGaussian(1, 3)
    assert np.abs(model.inference(10).reshape(3, 21, 19) - DenseCRF()(image, probabilities)).max() < 1e-6


def test_the_former_name_of_the_module() -> None:
    assert {"DenseCRF", "DenseCRF2D", "unary_from_softmax", "NORMALIZE_SYMMETRIC"} < {*compat.__all__}
    assert all(getattr(compat, name) is getattr(dcrf, name) for name in compat.__all__)


REFUSED: dict[str, Any] = {
    "gradient": lambda model: model.gradient,
    "no unary": lambda model: model.setUnary(np.ones((2, 100))),
    "unary": lambda model: model.setUnaryEnergy(np.ones((3, 100))),
    "nan": lambda model: model.setUnaryEnergy(np.full((2, 100), np.nan)),
    "weights of features": lambda model: model.setUnaryEnergy(np.ones((2, 5)), np.ones((4, 100))),
    "one feature": lambda model: model.setUnaryEnergy(np.ones((2, 5)), np.ones(100)),
    "chdim": lambda model: dcrf.create_pairwise_bilateral((3, 3), 13, np.zeros((10, 10, 3)), chdim=3),
    "features": lambda model: model.addPairwiseEnergy(np.ones((2, 99)), 3),
    "sxy": lambda model: model.addPairwiseGaussian(0, 3),
    "three": lambda model: model.addPairwiseGaussian((1, 2, 3), 3),
    "image": lambda model: model.addPairwiseBilateral(3, 3, np.zeros((10, 11, 3), np.uint8), 3),
    "grey": lambda model: model.addPairwiseBilateral(3, 3, np.zeros((10, 10, 1), np.uint8), 3),
    "compat": lambda model: model.addPairwiseGaussian(3, np.ones((2, 2, 2), np.float32)),
    "normalization": lambda model: model.addPairwiseGaussian(3, 3, normalization=4),
    "niter": lambda model: model.inference(-1),
    "beliefs": lambda model: model.klDivergence(np.ones((2, 99), np.float32)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_one_line(name: str) -> None:
    with pytest.raises((InputError, AttributeError)) as caught:
        REFUSED[name](dcrf.DenseCRF2D(10, 10, 2))
    assert "\n" not in str(caught.value) and len(str(caught.value)) > 20
