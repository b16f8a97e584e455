"""What computes the scores may be anything: NumPy, in a process without torch, gives what torch gives."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers import nearest_colour
from helpers.infer import LABELS, Brightest, noise
from helpers.nearest_colour import NearestColour, predictions

from globalconv.errors import InputError
from globalconv.infer.array_scores import best_classes, softmax
from globalconv.infer.backend import Backend
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.infer.predictor import Predictor
from globalconv.infer.torch_backend import TorchBackend

TESTS = Path(__file__).resolve().parent.parent


class ThroughTorch(NearestColour):
    """The same scores as tensors."""

    def logits(self, images_NHW3: npt.NDArray[np.uint8]) -> torch.Tensor:  # type: ignore[override]
        return torch.from_numpy(super().logits(images_NHW3).copy())

    def class_maps(self, images_NHW3: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return self.logits(images_NHW3).argmax(1).to(torch.uint8).numpy()


def test_a_process_without_torch_predicts_what_torch_predicts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "helpers.nearest_colour", str(tmp_path / "results.npz")]
    run = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    ours, theirs = np.load(tmp_path / "results.npz"), predictions(ThroughTorch())
    assert set(ours) == set(theirs) and len(theirs) == 2 * len(nearest_colour.SETTINGS) * len(nearest_colour.SIZES)
    for name, expected in theirs.items():
        np.testing.assert_allclose(ours[name], expected, atol=2e-5 if name.startswith("shares") else 0, err_msg=name)


@pytest.mark.parametrize("module", ["infer.image_files", "jobs.predict", "jobs.evaluate"])
def test_predictions_and_scores_need_no_torch_until_a_torch_network_is_loaded(module: str) -> None:
    code = f"import sys, globalconv.{module}; print([name for name in ('torch', 'timm') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_a_network_of_torch_becomes_a_backend_and_a_backend_is_taken_as_it_is() -> None:
    backend = NearestColour()
    assert isinstance(backend, Backend) and not isinstance(Brightest(), Backend)
    given = Predictor(backend, LABELS)
    assert given.backend is backend and given.network is None and given.layout is None
    assert (given.device, given.precision, given.description) == ("cpu", "float32", "NumPy")
    network = Brightest()
    made = Predictor(network, LABELS, "cpu", "float32")
    assert isinstance(made.backend, TorchBackend) and made.network is network and made.layout is torch.channels_last
    assert made.device == torch.device("cpu")


def test_a_backend_keeps_its_device_and_precision() -> None:
    Predictor(NearestColour(), LABELS, "cpu", "float32")
    for device, precision, wrong in (("cuda", "auto", "device='cuda'"), ("auto", "bfloat16", "precision='bfloat16'")):
        with pytest.raises(InputError, match=f"{wrong}: the backend that is given has"):
            Predictor(NearestColour(), LABELS, device, precision)


class Full(NearestColour):
    def logits(self, images_NHW3: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        raise MemoryError


@pytest.mark.parametrize("settings", [{}, {"flip": True}])
def test_a_backend_without_memory_is_a_refusal(settings: dict[str, bool]) -> None:
    predictor = Predictor(Full(), LABELS, settings=InferenceSettings(**settings))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="image of 9x6: not enough memory on cpu; reduce the image, or let it be cut"):
        predictor(noise(6, 9))


@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_and_classes_are_those_of_torch(axis: int) -> None:
    scores = torch.randn(4, 3, 50, 60) * 50
    scores[(slice(None),) * axis + (2,)] = scores[(slice(None),) * axis + (1,)]  # equal scores: the first counts
    shares = scores.softmax(axis)
    for values in (scores, scores.numpy(), scores.to(memory_format=torch.channels_last)):
        np.testing.assert_allclose(np.asarray(softmax(values, axis)), shares.numpy(), atol=1e-6)
        classes = best_classes(values, axis)
        assert classes.dtype == np.uint8 and (classes == scores.argmax(axis).numpy()).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_no_numbers_are_told(value: float) -> None:
    scores_KHW = np.zeros((3, 2, 2), np.float32)
    scores_KHW[:, 0, 0] = value
    with pytest.warns(UserWarning, match="scores that are no finite numbers"):
        best_classes(scores_KHW, axis=0)
