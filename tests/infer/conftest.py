"""The predictor of `helpers.infer`."""

import pytest
from helpers.infer import LABELS, Brightest

from globalconv.infer.predictor import Predictor


@pytest.fixture
def brightest() -> Predictor:
    return Predictor(Brightest(), LABELS, "cpu", "float32")
