"""A small clean data set in every format: what the tests break, train on and look at."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from helpers.datasets import SIZE, image, mask
from PIL import Image

from globalconv.labels import VOC

SQUARE = [[4.0, 3.0], [12.0, 3.0], [12.0, 10.0], [4.0, 10.0]]
TRIANGLE = [[8.0, 6.0], [20.0, 6.0], [8.0, 14.0]]


def colour_masks(root: Path, extra: tuple[int, int, int] | None = None) -> Path:
    """Write four images and colour masks: road, tree and void in three columns each."""
    columns = np.repeat(np.array([(128, 64, 128), (0, 128, 0), (0, 0, 0)], np.uint8), 2, axis=0)
    for name in "abcd":
        image(root / f"images/{name}.jpg", (6, 4))
        colours = np.tile(columns, (4, 1, 1))
        if extra is not None:
            colours[0, 0] = extra
        mask(root / f"masks/{name}.png", colours)
    return root


CSV = "name,index,red,green,blue\nroad,0,128,64,128\ntree,1,0,128,0\nvoid,255,0,0,0\n"


def voc(root: Path) -> Path:
    """Write VOC's layout: three images with masks, one without, and split lists."""
    values = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    values[4:9, 5:11], values[3, :] = 15, 255
    for name in ("2007_1", "2007_2", "2007_3"):
        image(root / f"JPEGImages/{name}.jpg")
        stored = Image.fromarray(values, "P")
        stored.putpalette([channel for colour in VOC.palette for channel in colour])
        (root / "SegmentationClass").mkdir(exist_ok=True)
        stored.save(root / f"SegmentationClass/{name}.png")
    image(root / "JPEGImages/2007_9.jpg")  # an image without a mask
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    for split, names in (("train", "2007_1\n2007_2\n"), ("val", "2007_3\n"), ("trainval", "2007_1\n2007_2\n2007_3\n")):
        (root / f"ImageSets/Segmentation/{split}.txt").write_text(names)
    return root


def labelme(root: Path, **changes: Any) -> Path:
    """Write two images with a JSON each: a square, a triangle over it, a void corner; `changes` to the JSONs."""
    shapes = [
        {"label": "tree", "shape_type": "polygon", "points": SQUARE},
        {"label": "car", "shape_type": "polygon", "points": TRIANGLE},
        {"label": "__ignore__", "shape_type": "rectangle", "points": [[0, 0], [2, 1]]},
    ]
    for name in ("a", "b"):
        image(root / f"{name}.jpg")
        fields = {"imagePath": f"{name}.jpg", "imageWidth": SIZE[0], "imageHeight": SIZE[1], "shapes": shapes}
        (root / f"{name}.json").write_text(json.dumps({**fields, **changes}))
    return root


def coco(root: Path, **changes: Any) -> Path:
    """Write two images and one COCO file: a square and a triangle over it."""
    for name in ("a", "b"):
        image(root / f"images/{name}.jpg")
    square = [value for point in SQUARE for value in point]
    fields = {
        "images": [
            {"id": n, "file_name": f"{name}.jpg", "width": SIZE[0], "height": SIZE[1]}
            for n, name in ((7, "a"), (9, "b"))
        ],
        "categories": [{"id": 30, "name": "tree"}, {"id": 5, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 30, "segmentation": [square]},
            {
                "id": 2,
                "image_id": 7,
                "category_id": 5,
                "segmentation": [[value for point in TRIANGLE for value in point]],
            },
        ],
    }
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations/instances_default.json").write_text(json.dumps({**fields, **changes}))
    return root


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><task><labels><label><name>road</name></label><label><name>car</name></label></labels></task></meta>
<image id="0" name="a.jpg" width="24" height="16">{shapes}</image>
<image id="1" name="b.jpg" width="24" height="16"></image>
</annotations>"""


def cvat(root: Path, shapes: str) -> Path:
    """Write two images and CVAT's XML with `shapes` on the first."""
    for name in ("a", "b"):
        image(root / f"images/{name}.jpg")
    (root / "annotations.xml").write_text(CVAT.format(shapes=shapes))
    return root
