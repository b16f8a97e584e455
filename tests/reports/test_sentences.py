"""Sentences of a report: what a network is, in words."""

from typing import Any

import numpy as np
import pytest
import torch
from helpers.infer import LABELS

from globalconv.evaluation.score import Predictions
from globalconv.infer.predictor import Predictor
from globalconv.model.network import GlobalConvNet
from globalconv.reports.findings import Subject
from globalconv.reports.history import History
from globalconv.reports.sentences import describe

REFINED = "with Boundary Refinement"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kernel_size": 7}, "Global Convolutional Network (GCN), k = 7, with Boundary Refinement"),
        (
            {"head": "pointwise", "boundary_refinement": False},
            "Baseline with 1 x 1 heads, without Boundary Refinement",
        ),
        (
            {"head": ("pointwise", "pointwise", "gcn", "pointwise"), "decoder": "features"},
            f"Global Convolutional Network (GCN), k = 15 after res-4, sum of features of 128 channels, {REFINED}",
        ),
        (
            {"head": "pointwise", "decoder": "features", "head_width": 16},
            "1 x 1 heads, sum of features of 16 channels, with Boundary Refinement",
        ),
    ],
)
def test_a_network_is_described_by_its_form(settings: dict[str, Any], words: str) -> None:
    network = GlobalConvNet(LABELS.num_classes, "test_resnet", **settings)
    predictor = Predictor(network, LABELS, torch.device("cpu"), "float32", torch.channels_last)
    predictions = Predictions(lambda index: np.zeros((4, 4), np.uint8), "float32")
    subject = Subject("mine", predictions, History(), predictor)
    assert describe(subject) == f"mine: {words}, over test_resnet"
