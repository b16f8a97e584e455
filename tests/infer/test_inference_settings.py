"""Settings: what is refused, in one line that names the option; and a fuzz of everything that is not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.infer import LABELS, Narrow
from torch import nn

import globalconv
from globalconv.cli.options import with_value
from globalconv.crf.dense import DenseCRF
from globalconv.errors import InputError
from globalconv.infer.inference_settings import PLAIN, InferenceSettings
from globalconv.infer.predictor import Predictor
from globalconv.labels import LabelSpace


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tile": 31}, "`tile` 31: must be a multiple of 32, at least 32"),
        ({"tile": -32}, "`tile` -32: must be"),
        ({"tile": True}, "`tile` True: must be"),
        ({"tile": 64.0}, r"`tile` 64\.0: give a multiple of 32, or cityscapes"),
        ({"tile": "berlin"}, "`tile` berlin: give"),
        ({"tile": 64, "overlap": 64}, r"`overlap` 64: must be below the tile \(64\); try 0"),
        ({"overlap": 1024}, "`overlap` 1024: must be below the tile"),
        ({"tile": 64, "overlap": 33}, "`overlap` 33: must be a multiple of 32"),
        ({"tile": "cityscapes", "scales": (1.0, 2.0)}, "`tile` cityscapes: its four crops are fixed"),
        ({"scales": ()}, "`scales`: none given"),
        ({"scales": (1.0, 0.0)}, r"`scales` 0\.0: must be above 0"),
        ({"scales": (-1.0,)}, r"`scales` -1\.0"),
        ({"scales": (float("nan"),)}, "`scales` nan"),
        ({"scales": (float("inf"),)}, "`scales` inf"),
        ({"scales": (11,)}, "`scales` 11: must be above 0 and at most 10"),
        ({"scales": ("1",)}, "`scales` 1"),
        ({"scales": 0.5}, r"`scales` 0\.5: give a tuple of numbers"),
        ({"scales": "12"}, "`scales` '12': give a tuple"),
        ({"fuse": "votes"}, "`fuse` votes: give probabilities or logits"),
        ({"batch_size": 0}, "`batch_size` 0: must be a whole number, at least 1"),
        ({"max_pixels": 0}, "`max_pixels` 0"),
        ({"max_pixels": "9"}, "`max_pixels` 9: must be a whole number, at least 1"),
        ({"batch_size": None}, "`batch_size` None: must be a whole number, at least 1"),
        ({"tile": np.array([64, 64])}, r"`tile` \[64 64\]: give a multiple of 32, or cityscapes"),
        ({"scales": np.array([0.5, 1])}, r"`scales` array\(\[0\.5, 1\. \]\): give a tuple"),
        ({"scales": None}, "`scales` None: give a tuple"),
        ({"scales": (True,)}, "`scales` True: must be above 0"),
        ({"flip": "no"}, "`flip` 'no': give True or False"),
        ({"flip": 1}, "`flip` 1: give True or False"),
        ({"fuse": np.array(["logits", "votes"])}, "`fuse` .*: give probabilities or logits"),
        ({"crf": 3}, "`crf` 3: give the name of a published setting, or the path of a crf.json"),
        ({"crf": True}, "`crf` True: give the name"),
        ({"crf": DenseCRF()}, "a DenseCRF is handed to Predictor as refine"),
    ],
)
def test_meaningless_settings_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        InferenceSettings(**fields)
    assert "\n" not in str(refused.value)


def test_numbers_of_numpy_and_paths_are_accepted() -> None:
    settings = InferenceSettings(tile=np.int64(64), batch_size=np.int32(2), crf=Path("crf.json"))  # type: ignore[arg-type]
    assert settings == InferenceSettings(tile=64, batch_size=2, crf="crf.json")
    assert json.dumps(settings.changes()) == '{"tile": 64, "crf": "crf.json"}'


@pytest.mark.parametrize("settings", [{"tile": 64}, None, InferenceSettings])
def test_other_objects_in_place_of_settings_are_refused(settings: Any) -> None:
    with pytest.raises(InputError, match="give an InferenceSettings"):
        Predictor(Narrow(), LABELS, "cpu", settings=settings)
    with pytest.raises(InputError, match="give an InferenceSettings"):
        globalconv.load("nowhere", settings=settings)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: globalconv.load(3), "path=3: give a path"),  # type: ignore[arg-type]
        (lambda: globalconv.load(""), "path='': give a path"),
        (lambda: globalconv.load("nowhere", optimise="no"), "optimise='no': give True or False"),  # type: ignore[arg-type]
        (lambda: Predictor(Narrow(), LABELS, 3, "float32"), "device='3': known"),  # type: ignore[arg-type]
        (lambda: Predictor(Narrow(), LABELS, "cpu", 3), "precision=3: known"),  # type: ignore[arg-type]
        (lambda: globalconv.predict(small(), 3, "out"), "images: holds int: give paths"),  # type: ignore[arg-type]
        (lambda: globalconv.predict(small(), [np.zeros(3)], "out"), "an array goes to"),  # type: ignore[list-item]
        (lambda: globalconv.predict(small(), "", "out"), "an image's name is empty"),
        (lambda: globalconv.predict(small(), "a.png", 3), "out=3: give a path"),  # type: ignore[arg-type]
        (lambda: globalconv.evaluate(small(), 3), "data=3: give a path"),  # type: ignore[arg-type]
    ],
)
def test_arguments_of_a_wrong_type_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)


def small() -> Predictor:
    return Predictor(Narrow(), LABELS, "cpu", "float32")


def test_changes_list_what_a_score_depends_on() -> None:
    assert PLAIN.changes() == {}
    assert InferenceSettings(tile=64, flip=True, batch_size=4, max_pixels=10).changes() == {"tile": 64, "flip": True}


@pytest.mark.parametrize(
    ("arguments", "filled"),
    [
        ("a --crf", "a --crf x"),
        ("--crf --out b", "--crf x --out b"),
        ("--crf y --out b", "--crf y --out b"),
        ("--out b", "--out b"),
        ("", ""),
    ],
)
def test_an_option_may_stand_alone(arguments: str, filled: str) -> None:
    assert with_value(arguments.split(), "--crf", "x") == filled.split()


class OneClass(nn.Module):
    def forward(self, images_N3HW: torch.Tensor) -> torch.Tensor:
        return images_N3HW[:, :1].float()


def any_image(rng: np.random.Generator) -> np.ndarray:
    """Return an image of any size from one pixel on: read-only, mirrored, or laid out as it pleases."""
    height, width = (int(side) for side in rng.choice([1, 2, 31, 32, 33, 64, 97], 2))
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    image = [image, image[::-1, ::-1], np.asfortranarray(image), image.repeat(2, 1)[:, ::2]][rng.integers(4)]
    image.flags.writeable = bool(rng.integers(2))
    return image


def any_settings(rng: np.random.Generator) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "tile": int(rng.choice([0, 16, 32, 64, 96, 100], p=[0.02, 0.02, 0.3, 0.4, 0.22, 0.04])),
        "overlap": int(rng.choice([-32, 0, 32, 64, 96], p=[0.03, 0.5, 0.35, 0.1, 0.02])),
        "scales": tuple(rng.choice([0.1, 0.5, 0.75, 1.0, 1.2, 1.3, 0.0, np.nan], rng.integers(1, 4), p=SCALE_ODDS)),
        "flip": bool(rng.integers(2)),
        "fuse": str(rng.choice(["probabilities", "logits"])),
        "batch_size": int(rng.integers(1, 5)),
    }
    return {name: value for name, value in fields.items() if rng.random() < 0.8}


SCALE_ODDS = [0.1, 0.15, 0.15, 0.3, 0.18, 0.1, 0.01, 0.01]


def test_five_hundred_random_calls_give_a_result_or_one_line() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    networks = {1: OneClass(), 3: Narrow()}
    refused = 0
    for _ in range(500):
        classes, image, fields = int(rng.choice([1, 3])), any_image(rng), any_settings(rng)
        try:
            settings = InferenceSettings(**fields)
        except InputError:
            refused += 1
            continue
        labels = LabelSpace(tuple(f"class {index}" for index in range(classes)))
        prediction = Predictor(networks[classes], labels, "cpu", "float32", settings=settings)(image, True)
        shares_KHW = prediction.probabilities
        assert shares_KHW is not None and shares_KHW.shape == (classes, *image.shape[:2])
        np.testing.assert_allclose(shares_KHW.sum(0), 1, atol=1e-4)
        assert prediction.class_map.shape == image.shape[:2] and prediction.class_map.max() < classes
    assert 50 < refused < 250


@pytest.mark.parametrize("tile", [32, 64, 96, 128, 1024])
def test_the_overlap_that_a_refusal_names_is_accepted(tile: int) -> None:
    with pytest.raises(InputError) as refused:
        InferenceSettings(tile=tile, overlap=tile)
    InferenceSettings(tile=tile, overlap=int(str(refused.value).split()[-1]))


@pytest.mark.parametrize("scales", [[1], (1,), [np.float32(1)]])
def test_scales_of_one_are_the_default_however_they_are_written(scales: Any) -> None:
    assert InferenceSettings(scales=scales) == PLAIN
