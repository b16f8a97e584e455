"""An exported file is predicted with and scored in a process that cannot import torch, as by the network itself."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.saved_weights import save_run
from helpers.training import write_blobs
from helpers.without_torch import run_without_torch
from PIL import Image

import globalconv
from globalconv.infer.inference_settings import InferenceSettings

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

OPTIONS: dict[str, list[str]] = {
    "whole": [],
    "views": ["--scales", "0.5", "1.25", "--flip"],
    "tiles": ["--tile", "32", "--overlap", "0", "--fuse", "logits"],
    "refined": ["--crf", "example"],
}
SETTINGS = {
    "whole": InferenceSettings(),
    "views": InferenceSettings(scales=(0.5, 1.25), flip=True),
    "tiles": InferenceSettings(tile=32, overlap=0, fuse="logits"),
    "refined": InferenceSettings(crf="example"),
}


@pytest.mark.slow
def test_what_a_file_predicts_without_torch_is_what_the_network_predicts(tmp_path: Path) -> None:
    run, file, data = save_run(tmp_path), tmp_path / "network.onnx", write_blobs(tmp_path / "blobs")
    globalconv.export(run, file, images=20)
    images = data / "images" / "val"
    predict = [["predict", file, images, "--out", tmp_path / "files" / name, *more] for name, more in OPTIONS.items()]
    scored, *predicted = run_without_torch([["evaluate", file, "--data", data, "--json"], *predict])
    for ran in (scored, *predicted):
        assert ran.code == 0, ran.errors
    for name, settings in SETTINGS.items():
        globalconv.predict(run, images, tmp_path / "run" / name, precision="float32", settings=settings)
        for path in images.iterdir():
            ours, theirs = (np.asarray(Image.open(tmp_path / who / name / path.name)) for who in ("files", "run"))
            assert ours.shape == theirs.shape and (ours == theirs).mean() > 0.999, (name, path.name)
    expected = globalconv.evaluate(run, data)
    assert json.loads(scored.output)["miou"] == pytest.approx(expected.miou, abs=1e-3)
