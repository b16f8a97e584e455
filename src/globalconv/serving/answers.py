"""What a request can ask for: class map, overlay, confidence, COCO's run lengths, or all that the page shows.

H x W pixels of the image.
"""

import base64
import io
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from globalconv.data.coco_masks import encode_classes
from globalconv.labels import LabelSpace
from globalconv.runtime.text import cut_middle
from globalconv.serving.batching import Segmented
from globalconv.serving.refusals import RefusedRequest
from globalconv.visual.overlay import legend_entries, overlay, palette_png

Output = Literal["class_map", "overlay", "confidence", "rle", "all"]
"""Names of what can be asked for."""

NEEDS_CONFIDENCE: tuple[Output, ...] = ("confidence", "all")

PNG, JPEG, JSON, ZIP = "image/png", "image/jpeg", "application/json", "application/zip"

_BY_TYPE: Mapping[str, Output] = {
    PNG: "class_map", "image/*": "class_map", "*/*": "class_map", JPEG: "overlay", JSON: "rle", "application/*": "rle",
}  # fmt: skip

_JPEG_LIMIT = 65_500


def choose_output(asked: Output | None, accept: str) -> Output:
    """Return what `output` asks for or else the `Accept` header: the first of the types that it prefers."""
    if asked is not None:
        return asked
    weighed = []
    for place, part in enumerate(accept.split(",")):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        weight = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        try:
            weighed.append((-float(weight), place, name or "*/*"))
        except ValueError:
            continue
    for weight_below_0, _, name in sorted(weighed):
        if name in _BY_TYPE and weight_below_0 < 0:
            return _BY_TYPE[name]
    raise RefusedRequest(
        HTTPStatus.NOT_ACCEPTABLE,
        f"`Accept` {cut_middle(accept, 100)}: give {PNG}, {JPEG} or {JSON}, or `output` {', '.join(get_args(Output))}",
    )


def answer(segmented: Segmented, labels: LabelSpace, output: Output, legend: bool) -> tuple[bytes, str]:
    """Return the content that `output` names, and its media type."""
    if output == "class_map":
        return class_map_png(segmented, labels), PNG
    if output == "confidence":
        return confidence_png(segmented), PNG
    if output == "overlay":
        drawn = overlay(segmented.image, segmented.class_map, labels, legend)
        if max(drawn.size) > _JPEG_LIMIT:
            return _png(drawn), PNG
        return _encoded(drawn, "JPEG", quality=92, subsampling=0), JPEG
    values = run_lengths if output == "rle" else for_page
    return json.dumps(values(segmented, labels)).encode(), JSON


def suffix(media_type: str) -> str:
    """Return the suffix of a file of this type."""
    return {PNG: ".png", JPEG: ".jpg", JSON: ".json"}[media_type]


def class_map_png(segmented: Segmented, labels: LabelSpace) -> bytes:
    """Return the class map as a PNG of class indices, with the palette."""
    return _png(palette_png(segmented.class_map, labels))


def confidence_png(segmented: Segmented) -> bytes:
    """Return the probability of each pixel's class as a grey PNG: 255 is 1."""
    assert segmented.confidence is not None
    return _png(Image.fromarray(segmented.confidence))


def run_lengths(segmented: Segmented, labels: LabelSpace) -> dict[str, Any]:
    """Return every class that occurs as COCO's compressed run lengths, with what identifies it."""
    height, width = segmented.class_map.shape
    names = _names(labels)
    annotations = [
        {
            "category_id": index,
            "category": names(index),
            "area": area,
            "segmentation": {"size": [height, width], "counts": counts},
        }
        for index, area, counts in encode_classes(segmented.class_map)
    ]
    return {"width": width, "height": height, "annotations": annotations}


def for_page(segmented: Segmented, labels: LabelSpace) -> dict[str, Any]:
    """Return class map and confidence as PNGs in base64, and share and mean confidence of each class that occurs.

    Where the network has no probabilities, there is null in place of what is made of them.
    """
    height, width = segmented.class_map.shape
    names, confidence = _names(labels), segmented.confidence
    counts = np.bincount(segmented.class_map.ravel(), minlength=256)
    weights = None if confidence is None else confidence.ravel()
    sums = np.bincount(segmented.class_map.ravel(), weights, minlength=256)
    classes = [
        {
            "index": index,
            "name": names(index),
            "share": round(int(counts[index]) / (height * width), 6),
            "confidence": None if confidence is None else round(float(sums[index] / counts[index] / 255), 4),
        }
        for index in map(int, np.flatnonzero(counts))
    ]
    return {
        "width": width,
        "height": height,
        "classes": classes,
        "class_map": base64.b64encode(class_map_png(segmented, labels)).decode(),
        "confidence": None if confidence is None else base64.b64encode(confidence_png(segmented)).decode(),
    }


def _names(labels: LabelSpace) -> Callable[[int], str]:
    """Return what names a class by its index."""
    return lambda index: legend_entries([index], labels)[0].name


def _png(image: Image.Image) -> bytes:
    return _encoded(image, "PNG", compress_level=4)


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
