"""The DenseCRF as its users call it: its results, its refusals, and 2,000 random calls."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import globalconv
from globalconv.crf import inputs, solver_cpu
from globalconv.crf.dense import PRESETS, DenseCRF
from globalconv.crf.lattice import key_multipliers
from globalconv.errors import InputError


def sample(
    height: int = 13, width: int = 17, classes: int = 3, seed: int = 0
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    image = random.integers(0, 60, (height, width, 3)).astype(np.uint8)
    image[:, width // 2 :] += 150
    probabilities = random.dirichlet(np.ones(classes), (height, width)).transpose(2, 0, 1)
    return image, np.ascontiguousarray(probabilities, np.float32)


def test_the_contract() -> None:
    crf = globalconv.DenseCRF(
        iterations=10, appearance_weight=4, appearance_xy=67, appearance_rgb=3, smoothness_weight=3, smoothness_xy=1
    )
    image, probabilities = sample()
    before = image.copy(), probabilities.copy()
    refined = crf(image, probabilities)
    assert refined.dtype == np.float32 and refined.shape == (3, 13, 17)
    assert refined.sum(0) == pytest.approx(1, abs=1e-5)
    assert (image == before[0]).all() and (probabilities == before[1]).all()
    assert crf == DenseCRF() == DenseCRF.preset("deeplabv2-voc")


def test_a_lone_pixel_gives_way_to_its_neighbours() -> None:
    image = np.full((9, 9, 3), 100, np.uint8)
    probabilities = np.empty((2, 9, 9), np.float32)
    probabilities[0], probabilities[1] = 0.8, 0.2
    probabilities[:, 4, 4] = 0.4, 0.6
    assert (DenseCRF()(image, probabilities).argmax(0) == 0).all()


def test_zero_iterations_and_no_kernels_give_the_input() -> None:
    image, probabilities = sample()
    for crf in (DenseCRF(iterations=0), DenseCRF(appearance_weight=0, smoothness_weight=0)):
        assert crf(image, probabilities) == pytest.approx(probabilities.clip(1e-5, 1), abs=2e-5)


def test_one_class_and_one_pixel() -> None:
    assert (DenseCRF()(np.zeros((5, 4, 3), np.uint8), np.ones((1, 5, 4))) == 1).all()
    assert DenseCRF()(np.zeros((1, 1, 3), np.uint8), np.full((2, 1, 1), 0.5)) == pytest.approx(0.5)


def test_any_layout_and_type_gives_the_same() -> None:
    image, probabilities = sample()
    expected = DenseCRF()(image, probabilities)
    frozen = probabilities.copy()
    frozen.flags.writeable = image.flags.writeable = False
    for other in (
        frozen,
        probabilities.astype(np.float64),
        np.asfortranarray(probabilities),
        list(map(list, probabilities)),
    ):
        one = other if isinstance(other, np.ndarray) else np.array(other)
        assert DenseCRF()(image, one) == pytest.approx(expected, abs=1e-6)
    assert DenseCRF()(image[::-1][::-1].astype(np.float64), probabilities) == pytest.approx(expected, abs=1e-6)
    assert (
        DenseCRF()(image[::-1], probabilities[:, ::-1])[:, ::-1] != expected
    ).any()  # no mirror symmetry in a lattice


def test_grey_is_one_channel() -> None:
    image, probabilities = sample()
    grey = image[:, :, 0]
    assert (DenseCRF()(grey, probabilities) == DenseCRF()(grey[:, :, None], probabilities)).all()


def test_a_deviation_per_channel() -> None:
    image, probabilities = sample()
    expected = DenseCRF(appearance_rgb=3)(image, probabilities)
    assert (DenseCRF(appearance_rgb=(3, 3, 3))(image, probabilities) == expected).all()
    assert (DenseCRF(appearance_rgb=(3, 3, 300))(image, probabilities) != expected).any()


@pytest.mark.parametrize("offset", [1e6, -1e6, 1e12, (0, 1e6, -1e7)])
@pytest.mark.parametrize("kind", [np.float64, np.int64])
def test_an_offset_of_all_pixels_changes_nothing(offset: Any, kind: type) -> None:
    """Kernels depend on differences only; float32 could not place such pixels where they are."""
    image, probabilities = sample()
    image = image - image.min((0, 1))  # the channels' values nearest to 0 are where others are moved to
    if np.max(offset) <= 0:
        image = image - image.max((0, 1)).astype(int)
    elif np.min(offset) < 0:
        image = image - (image.max((0, 1)) * [0, 0, 1]).astype(int)
    expected = DenseCRF()(image, probabilities)
    assert (DenseCRF()((image + np.asarray(offset)).astype(kind), probabilities) == expected).all()


def test_ordinary_images_stay_where_they_are() -> None:
    """The lattice lies about 0, so that moving an image would leave the marginals of the reference."""
    image, _ = sample()
    for ordinary, sd in ((image, 3.0), (image / 255, 3 / 255), (image.astype(np.uint16) * 257, 3.0)):
        assert inputs.near_zero(ordinary, (sd,) * 3) is ordinary


def test_energies_and_labels() -> None:
    image, probabilities = sample()
    energies = -np.log(probabilities.clip(1e-5, 1))
    expected = DenseCRF()(image, probabilities)
    assert DenseCRF().from_energies(image, energies) == pytest.approx(expected, abs=1e-5)
    assert DenseCRF().from_energies(image, (energies * 10).astype(np.uint8)).shape == energies.shape
    labels = probabilities.argmax(0).astype(np.uint8)
    labels[0] = 255
    start = DenseCRF(iterations=0).from_labels(image, labels, 3, confidence=0.7)
    assert start[:, 0] == pytest.approx(1 / 3)
    assert start[labels[1, 2], 1, 2] == pytest.approx(0.7) and start[:, 1, 2].sum() == pytest.approx(1)


def test_the_largest_numbers_give_finite_results() -> None:
    image, probabilities = sample()
    costs = np.full((3, 3), inputs.LARGEST) * (1 - np.eye(3))
    for compatibility in (None, costs):
        crf = DenseCRF(10, inputs.LARGEST, 67, 3, inputs.LARGEST, 1, compatibility)
        for energies in (probabilities, probabilities * 1e30, -probabilities * 1e38):
            assert crf.from_energies(image, energies).sum(0) == pytest.approx(1, abs=1e-5)
    wide = DenseCRF(appearance_xy=inputs.LARGEST, appearance_rgb=inputs.LARGEST, smoothness_xy=inputs.LARGEST)
    assert wide(image, probabilities).sum(0) == pytest.approx(1, abs=1e-5)


def test_a_rounding_below_zero_is_accepted() -> None:
    image, probabilities = sample()
    probabilities[0], probabilities[1] = -1e-7, 1 + 1e-7 - probabilities[2]
    assert (DenseCRF()(image, probabilities) == DenseCRF()(image, probabilities.clip(0, 1))).all()


def test_deviations_and_devices_of_other_types() -> None:
    image, probabilities = sample()
    expected = DenseCRF(appearance_rgb=(3, 4, 5))
    for deviations in ([3, 4, 5], np.array([3, 4, 5]), (number for number in (3, 4, 5))):
        crf = DenseCRF(appearance_rgb=deviations)  # type: ignore[arg-type]
        assert crf == expected and (crf(image, probabilities) == expected(image, probabilities)).all()
    crf = DenseCRF(device=torch.device("cpu"))  # type: ignore[arg-type]
    assert (crf(image, probabilities) == DenseCRF()(image, probabilities)).all()


def test_potts_is_a_matrix() -> None:
    image, probabilities = sample()
    potts = DenseCRF(compatibility=1 - np.eye(3))
    assert potts(image, probabilities) == pytest.approx(DenseCRF()(image, probabilities), abs=1e-4)
    assert DenseCRF(compatibility=np.zeros((3, 3)))(image, probabilities) == pytest.approx(probabilities, abs=2e-5)


def test_a_crf_is_equal_to_one_of_the_same_costs_only() -> None:
    potts, other = 1 - np.eye(3), np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]])
    crf = DenseCRF(compatibility=potts)
    same = DenseCRF(compatibility=potts.astype(int).tolist())
    assert crf == same == replace(crf) and hash(crf) == hash(same) and len({crf, same, replace(crf)}) == 1
    for different in (
        DenseCRF(),
        DenseCRF(compatibility=other),
        DenseCRF(compatibility=1 - np.eye(4)),
        replace(crf, iterations=1),
    ):
        assert crf != different and different != crf
    assert crf != "crf" and len({crf, DenseCRF(), DenseCRF(compatibility=other)}) == 3
    assert hash(DenseCRF(compatibility=-np.zeros((2, 2)))) == hash(DenseCRF(compatibility=np.zeros((2, 2))))


def test_a_crf_keeps_its_costs() -> None:
    """It is frozen: changing the argument does not change it, and its own matrix is read-only."""
    costs = (1 - np.eye(3)).astype(np.float32)
    crf = DenseCRF(compatibility=costs)
    costs[0, 1] = 7
    assert crf == DenseCRF(compatibility=1 - np.eye(3))
    with pytest.raises(ValueError, match="read-only"):
        crf.compatibility[0, 1] = 7


def test_the_package_exports_the_crf() -> None:
    import globalconv.crf

    assert globalconv.crf.DenseCRF is globalconv.DenseCRF and globalconv.crf.PRESETS is PRESETS


def test_the_divergence_of_every_iteration_falls() -> None:
    image, probabilities = sample()
    refined, divergences = DenseCRF().trace(image, probabilities)
    assert (refined == DenseCRF()(image, probabilities)).all()
    assert len(divergences) == 11 and divergences[-1] < divergences[1] < divergences[0]


def test_batches() -> None:
    pairs = [sample(seed=seed) for seed in range(2)]
    images, probabilities = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    single = [DenseCRF()(*pair) for pair in pairs]
    refined = DenseCRF()(images, probabilities)
    assert isinstance(refined, list)
    stacked = DenseCRF()(np.stack(images), np.stack(probabilities))
    for index in range(2):
        assert (refined[index] == single[index]).all() and (stacked[index] == single[index]).all()
    tensors = DenseCRF()(torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(probabilities)))
    assert torch.is_tensor(tensors) and (tensors.numpy() == stacked).all()
    assert DenseCRF()([], []) == []
    for none in (np.zeros((0, 3, 13, 17)), torch.zeros(0, 3, 13, 17).half()):
        empty = DenseCRF()(np.zeros((0, 13, 17, 3)), none)
        assert type(empty) is type(none) and empty.shape == none.shape and "float32" in str(empty.dtype)


def test_tensors_in_tensor_out() -> None:
    image, probabilities = sample()
    tensor = torch.from_numpy(probabilities).requires_grad_()
    refined = DenseCRF()(image, tensor)
    assert torch.is_tensor(refined) and refined.dtype == torch.float32
    assert (refined.numpy() == DenseCRF()(image, probabilities)).all()
    assert DenseCRF()(torch.from_numpy(image), tensor.bfloat16()).shape == (3, 13, 17)


def test_presets_are_the_published_settings() -> None:
    settings = {
        name: (p.appearance_weight, p.appearance_xy, p.appearance_rgb, p.smoothness_weight, p.smoothness_xy)
        for name, p in PRESETS.items()
    }
    assert settings == {
        "deeplabv2-voc": (4, 67, 3, 3, 1),
        "deeplab-largefov": (4, 49, 5, 3, 3),
        "example": (10, 80, 13, 3, 3),
    }
    assert [preset.iterations for preset in PRESETS.values()] == [10, 10, 5]
    with pytest.raises(InputError, match="did you mean 'deeplabv2-voc'"):
        DenseCRF.preset("deeplabv2-vco")


def test_kept_kernels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_cpu, "KEPT_BYTES", 30_000)
    for size in (8, 9, 10, 11, 30):
        image, probabilities = sample(size, size)
        first = DenseCRF()(image, probabilities)
        assert (first == DenseCRF()(image, probabilities)).all()
        assert sum(kernel.nbytes for kernel in solver_cpu._kept_kernels.values()) <= 30_000


def test_keys_that_do_not_fit_are_scattered() -> None:
    """With 12 channels of tiny deviations, keys do not fit 63 bits; the result stays that of the torch path."""
    random = np.random.default_rng(0)
    image = random.normal(0, 1, (9, 11, 12))
    crf = DenseCRF(appearance_rgb=0.05, appearance_xy=5)
    _, probabilities = sample(9, 11)
    assert (key_multipliers(np.full((1, 14), 100, np.float32)) % 2 == 1).all()
    assert crf(image, probabilities).sum(0) == pytest.approx(1, abs=1e-5)


IMAGE, PROBABILITIES = sample()
WRONG: dict[str, Any] = {
    "iterations=2.5": lambda: DenseCRF(iterations=2.5),  # type: ignore[arg-type]
    "iterations=-1": lambda: DenseCRF(iterations=-1),
    "iterations=True": lambda: DenseCRF(iterations=True),
    "appearance_weight=-1": lambda: DenseCRF(appearance_weight=-1),
    "appearance_xy=0": lambda: DenseCRF(appearance_xy=0),
    "smoothness_xy=nan": lambda: DenseCRF(smoothness_xy=float("nan")),
    "appearance_rgb=0": lambda: DenseCRF(appearance_rgb=(3, 0, 3)),
    "appearance_rgb='3'": lambda: DenseCRF(appearance_rgb="3"),  # type: ignore[arg-type]
    "appearance_rgb=array(3.)": lambda: DenseCRF(appearance_rgb=np.array(3.0)),  # type: ignore[arg-type]
    "appearance_rgb is empty": lambda: DenseCRF(appearance_rgb=()),
    "appearance_xy=1e-50": lambda: DenseCRF(appearance_xy=1e-50),
    "smoothness_xy=1e+300": lambda: DenseCRF(smoothness_xy=1e300),
    "appearance_weight=1e+38": lambda: DenseCRF(appearance_weight=1e38),
    "smoothness_weight=1000": lambda: DenseCRF(smoothness_weight=10**400),
    "compatibility holds 1e+38": lambda: DenseCRF(compatibility=np.full((3, 3), -1e38)),
    "compatibility holds nan": lambda: DenseCRF(compatibility=np.full((3, 3), np.nan)),
    "appearance_rgb names 2": lambda: DenseCRF(appearance_rgb=(3, 3))(IMAGE, PROBABILITIES),
    "device='cuda:x'": lambda: DenseCRF(device="cuda:x"),
    "device='cdua'": lambda: DenseCRF(device="cdua"),
    "device='cuda:9'": lambda: DenseCRF(device="cuda:9")(IMAGE, PROBABILITIES),
    "compatibility of shape": lambda: DenseCRF(compatibility=np.ones((3, 2))),
    "compatibility is for 4": lambda: DenseCRF(compatibility=np.ones((4, 4)))(IMAGE, PROBABILITIES),
    "add up to 1.5": lambda: DenseCRF()(IMAGE, PROBABILITIES * 1.5),
    "add up to nan": lambda: DenseCRF()(IMAGE, np.where(PROBABILITIES > 0.5, np.nan, PROBABILITIES)),
    "none may be negative": lambda: DenseCRF()(IMAGE, np.stack([-PROBABILITIES[0], 1 + PROBABILITIES[0]])),
    "probabilities of shape (13, 17, 3)": lambda: DenseCRF()(IMAGE, PROBABILITIES.transpose(1, 2, 0)),
    "probabilities hold object": lambda: DenseCRF()(IMAGE, None),
    "probabilities hold complex": lambda: DenseCRF()(IMAGE, PROBABILITIES * 1j),
    "image of shape (3, 13, 17)": lambda: DenseCRF()(IMAGE[None, None], PROBABILITIES),
    "image of shape (0,": lambda: DenseCRF()(IMAGE[:0], PROBABILITIES[:, :0]),
    "image hold nan": lambda: DenseCRF()(np.where(IMAGE > 100, np.nan, IMAGE), PROBABILITIES),
    "standard deviations from 0": lambda: DenseCRF(appearance_rgb=1e-9)(IMAGE, PROBABILITIES),
    "energies hold nan": lambda: DenseCRF().from_energies(IMAGE, PROBABILITIES * np.inf),
    "image is NoneType": lambda: DenseCRF()(None, [PROBABILITIES]),
    "1 images but 2": lambda: DenseCRF()([IMAGE], [PROBABILITIES, PROBABILITIES]),
    "labels hold 3": lambda: DenseCRF().from_labels(IMAGE, np.full((13, 17), 3), 3),
    "labels hold float64": lambda: DenseCRF().from_labels(IMAGE, np.ones((13, 17)), 3),
    "labels of shape": lambda: DenseCRF().from_labels(IMAGE, np.ones((13, 16), int), 3),
    "confidence=1": lambda: DenseCRF().from_labels(IMAGE, np.ones((13, 17), int), 3, confidence=1),
    "num_classes=0": lambda: DenseCRF().from_labels(IMAGE, np.ones((13, 17), int), 0),
}


@pytest.mark.parametrize("words", WRONG)
def test_refusals_name_the_value_in_one_line(words: str) -> None:
    with pytest.raises(InputError) as caught:
        WRONG[words]()
    message = str(caught.value)
    assert "\n" not in message
    assert words.replace("(3, 13, 17)", "(1, 1, 13, 17, 3)") in message, message


def anything(random: np.random.Generator) -> tuple[dict[str, Any], Any, Any]:
    """Settings, image and probabilities: mostly right, now and then not."""
    height, width, classes, channels = random.integers(1, 7, 4)
    settings: dict[str, Any] = {
        "iterations": random.choice([0, 1, 2, 3]).item() if random.random() < 0.95 else random.choice([-1, 0.5]),
        "appearance_weight": random.choice([0, 1, 4, 1e3, -1], p=[0.2, 0.3, 0.3, 0.15, 0.05]),
        "appearance_xy": random.choice([1, 67, 1e-3, 1e9, 0], p=[0.3, 0.3, 0.2, 0.15, 0.05]),
        "appearance_rgb": random.choice([1, 3, 0.01, 1e-8, np.inf], p=[0.3, 0.3, 0.3, 0.05, 0.05]),
        "smoothness_weight": random.choice([0, 3, 0.1]),
        "smoothness_xy": random.choice([1, 3, 0.2]),
    }
    image: Any = random.integers(0, 256, (height, width, channels)).astype(random.choice(["uint8", "int16", "float64"]))
    probabilities: Any = random.dirichlet(np.full(classes, 0.2), (height, width)).transpose(2, 0, 1)
    match random.integers(0, 20):
        case 0:
            image = image[:, :, 0]
        case 1:
            image = image[1:]
        case 2:
            probabilities = probabilities[:, :, ::-1].astype(np.float16)
        case 3:
            probabilities = probabilities * random.choice([0, 2, np.nan, np.inf, -1])
        case 4:
            probabilities = np.rint(probabilities)
        case 5:
            image = image * random.choice([1e30, np.nan, -1e3])
        case 6:
            probabilities = probabilities[0]
        case 7:
            settings["compatibility"] = random.normal(0, 1, (classes, random.choice([classes, 2])))
    return settings, image, probabilities


def test_two_thousand_random_calls() -> None:
    random = np.random.default_rng(0)
    refined_count, refused = 0, 0
    for _ in range(2000):
        settings, image, probabilities = anything(random)
        try:
            with np.errstate(all="ignore"):
                refined = DenseCRF(**settings)(image, probabilities)
        except InputError:
            refused += 1
            continue
        refined_count += 1
        assert refined.shape == probabilities.shape and refined.dtype == np.float32
        assert np.isfinite(refined).all() and np.abs(refined.sum(0) - 1).max() < 1e-4, settings
    assert refined_count > 1000 and refined_count + refused == 2000


def test_settings_are_replaced_one_by_one() -> None:
    assert replace(DenseCRF.preset("example"), iterations=3).iterations == 3
