"""int8: NNCF's post-training quantisation, with our mIoU as its accuracy control."""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from globalconv.arrays import Uint8Array
from globalconv.data.datasets import image_identity
from globalconv.data.source import Source, spread_evenly
from globalconv.errors import InputError, InputWarning
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.infer.exported import FORMATS
from globalconv.labels import IGNORE

CALIBRATION_IMAGES = 128
"""Images that the ranges of activations are measured on."""

FEW_IMAGES = 20
"""Images to calibrate on below which a warning says so."""

RANKING_IMAGES = 16
"""Validation images on which layers are compared, where some have to go back to float32."""

EXACT = ("Divide", "Div", "Subtract", "Sub")
"""Operations that normalise pixels, by OpenVINO's names and ONNX's; they are not made int8."""

ClassMaps = Callable[[Uint8Array], Uint8Array]
"""images_NHW3 -> class_maps_NHW."""


@dataclass(frozen=True)
class Quantised:
    """A model in int8, of OpenVINO or ONNX, and how much of it is not."""

    model: Any
    kept: int
    """Convolutions that compute in float32, because int8 costs too much there."""
    convolutions: int


def quantise(
    path: Path, training: Source, validation: Source, compared: Sequence[int], most: int, max_drop: float
) -> Quantised:
    """Return the exported file `path` (.onnx or .xml, float32) in int8.

    Ranges come from images of `training` that are none of `validation`'s. The layers that lose most go back to float32
    until the mIoU drops by at most `max_drop` points, on at most `most` images of `validation` that are none of
    `compared`; where all are compared, on those.
    """
    os.environ.setdefault("NNCF_CI", "1")  # else nncf reports each use to its makers
    import nncf

    is_onnx = FORMATS[path.suffix.lower()] == "onnx"

    def feed(image: Uint8Array) -> Any:
        return {"images": image[None]} if is_onnx else image[None]

    def miou(model: Any, labelled: Iterable[int]) -> float:
        matrix = ConfusionMatrix(validation.labels.num_classes)
        class_maps = _onnx_class_maps(model) if is_onnx else lambda images: model(images)["classes"]
        for index in labelled:
            matrix.update(class_maps(validation.image(index)[None])[0], validation.label_map(index))
        return matrix.miou()

    validated = {image_identity(validation, index) for index in range(len(validation))}
    calibrated = [
        index
        for index in spread_evenly(len(training), CALIBRATION_IMAGES)
        if image_identity(training, index) not in validated
    ]
    if not calibrated:
        raise InputError(
            f"{training.name}: holds no image to calibrate int8 on that is not in {validation.name} as well; give"
            " `split` another"
        )
    if len(calibrated) < FEW_IMAGES:
        warnings.warn(
            InputWarning(
                f"{training.name}: {len(calibrated)} of the {FEW_IMAGES} images that int8 is calibrated on at least:"
                " values beyond theirs are cut off; name more by `data`",
                "export",
            ),
            stacklevel=2,
        )
    others = sorted({*range(len(validation))} - {*compared}) or compared
    controlled = [others[place] for place in spread_evenly(len(others), most)]
    # Of an mIoU that is no number, nncf takes one layer after the other back to float32, for hours.
    if not any((validation.label_map(index) != IGNORE).any() for index in controlled):
        raise InputError(
            f"{validation.name}: none of its pixels that int8 would be scored on has a class; give `data` or `split`"
            " with labels"
        )
    with _quiet_nncf():
        model = nncf.quantize_with_accuracy_control(
            _read(path, is_onnx),
            calibration_dataset=nncf.Dataset(calibrated, lambda index: feed(training.image(index))),
            validation_dataset=nncf.Dataset(controlled, lambda index: feed(validation.image(index))),
            validation_fn=miou,
            max_drop=max_drop / 100,
            drop_type=nncf.DropType.ABSOLUTE,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(calibrated),
            ignored_scope=nncf.IgnoredScope(types=[*EXACT], validate=False),
            advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
                ranking_subset_size=RANKING_IMAGES
            ),
        )
    return Quantised(model, *(_count_onnx(model) if is_onnx else _count_openvino(model)))


def _read(path: Path, is_onnx: bool) -> Any:
    if is_onnx:
        import onnx

        return onnx.load(path)
    import openvino

    return openvino.Core().read_model(path)


def _onnx_class_maps(model: Any) -> ClassMaps:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda images: session.run(["classes"], {"images": images})[0]


def _count_onnx(model: Any) -> tuple[int, int]:
    """Return how many convolutions are in float32, and how many there are."""
    dequantised = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    return sum(node.input[1] not in dequantised for node in convolutions), len(convolutions)


def _count_openvino(model: Any) -> tuple[int, int]:
    convolutions = [node for node in model.get_ordered_ops() if "Convolution" in node.get_type_name()]
    inputs = [node.input_value(0).get_node().get_type_name() for node in convolutions]
    return sum(kind != "FakeQuantize" for kind in inputs), len(convolutions)


@contextlib.contextmanager
def _quiet_nncf() -> Iterator[None]:
    """Keep NNCF's bars, and lines about its steps, from the terminal."""
    import nncf

    logger = logging.getLogger("nncf")
    level = logger.level
    nncf.set_log_level(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
