"""Broken inputs to every verb, each with what it must say; the page `docs/refusals.md` is made from them."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

DATA = Path(__file__).parents[2] / "docs" / "refusals.md"


@dataclass(frozen=True)
class Refusal:
    """A command (paths relative to a prepared folder), its exit code, and words its one line must hold."""

    about: str
    command: str
    words: str
    code: int = 2


REFUSALS = [
    Refusal("a verb that does not exist", "trian", "did you mean 'train'?"),
    Refusal("a recipe that does not exist", "train camvidd --data blobs --out new", "camvidd"),
    Refusal("a recipe to list that does not exist", "recipes camvidd", "did you mean 'camvid'?"),
    Refusal("an option that does not exist", "train folder --data blobs --out new --optim.lrr 1", "--optim.lrr"),
    Refusal("an option without its value", "train folder --data blobs --out", "--out"),
    Refusal("a required option left out", "train folder --data blobs", "--out"),
    Refusal("a word for a number", "train folder --data blobs --out new --optim.lr fast", "--optim.lr"),
    Refusal("a value out of range", "train folder --data blobs --out new --optim.momentum 1", "--optim.momentum 1"),
    Refusal("an even kernel", "train folder --data blobs --out new --model.kernel-size 14", "kernel_size=14"),
    Refusal("three kernels for four levels", "train folder --data blobs --out new --model.kernel-size 3 5 7", "four"),
    Refusal("an unknown head", "train folder --data blobs --out new --model.head gnc", "did you mean 'gcn'?"),
    Refusal("an unknown backbone", "train folder --data blobs --out new --model.backbone resnet19", "resnet19"),
    Refusal(
        "frozen batch norm from scratch",
        "train folder --data blobs --out new --model.backbone test_resnet --model.backbone-norm frozen",
        "frozen",
    ),
    Refusal(
        "ImageNet weights without a network",
        "train folder --data blobs --out new --model.backbone-weights imagenet",
        "backbone_weights",
    ),
    Refusal(
        "a backbone file that is not there",
        "train folder --data blobs --out new --model.backbone-weights missing.pth",
        "missing.pth",
    ),
    Refusal(
        "a backbone file of another network",
        "train folder --data blobs --out new --model.backbone test_resnet --model.backbone-weights other.safetensors",
        "other.safetensors",
    ),
    Refusal("a CUDA device on a machine without", "train folder --data blobs --out new --device cuda:7", "cuda:7"),
    Refusal("no data named", "train folder --out new", "--data"),
    Refusal("data that is not there", "train folder --data nowhere --out new", "nowhere"),
    Refusal("a folder that is no data set", "train folder --data empty --out new", "empty"),
    Refusal("a split that does not exist", "train folder --data blobs --out new --data.val-split dev", "dev"),
    Refusal("an image without its label map", "train folder --data lonely --out new", "lonely"),
    Refusal("a label map of another size", "train folder --data sizes --out new", "0.png"),
    Refusal("a colour mask instead of indices", "train folder --data colours --out new", "0.png"),
    Refusal("a label outside the classes", "train folder --data outside --out new", "9"),
    Refusal("a truncated label map", "train folder --data truncated --out new", "0.png"),
    Refusal("a list that names a missing file", "train camvid --data listed --out new", "train.txt"),
    Refusal("an --out that holds a run", "train folder --data blobs --out run", "--resume"),
    Refusal("an --out that is a file", "train folder --data blobs --out photo.png", "is a file"),
    Refusal("an --out full of other things", "train folder --data blobs --out blobs", "not empty"),
    Refusal("--resume without a run", "train folder --data blobs --out new --resume", "--resume"),
    Refusal("--resume with another recipe", "train folder --data blobs --out run --resume", "has changed"),
    Refusal("--init-from a folder without weights", "train folder --data blobs --out new --init-from empty", "empty"),
    Refusal("weights that are not there", "evaluate nowhere --data blobs", "nowhere"),
    Refusal("a folder without weights", "evaluate empty --data blobs", "empty"),
    Refusal("damaged weights", "evaluate damaged --data blobs", "weights.safetensors"),
    Refusal("a damaged model.json", "evaluate halfjson --data blobs", "model.json"),
    Refusal("neither weights nor predictions", "evaluate --data blobs", "--predictions"),
    Refusal("a network of other classes than the data's", "evaluate run --data colourless", "class"),
    Refusal("evaluate without data", "evaluate run", "--data"),
    Refusal("a prediction that is missing", "evaluate --predictions empty --data blobs", "empty"),
    Refusal("an unknown precision", "evaluate run --data blobs --precision float16", "--precision"),
    Refusal("an image that is not there", "predict run nowhere.jpg --out new", "nowhere.jpg"),
    Refusal("a glob that matches nothing", "predict run *.tiff --out new", "*.tiff"),
    Refusal("an --out that would overwrite the input", "predict run photo.png --out .", "photo.png"),
    Refusal("a broken image among good ones (skipped)", "predict run photo.png broken.jpg --out new", "broken.jpg"),
    Refusal("a recipe whose loss explodes", "train folder --data blobs --out new @tiny --optim.lr 1e30", "diverged", 3),
    Refusal("demo into a folder that is not its own", "demo --out blobs", "blobs"),
]
