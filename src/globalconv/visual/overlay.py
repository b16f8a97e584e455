"""A class map laid over its image, with contours between classes and a legend below."""

import numpy as np
from PIL import Image

from globalconv.arrays import BoolArray, Uint8Array
from globalconv.labels import IGNORE, LabelSpace
from globalconv.visual import legend as legends
from globalconv.visual.palette import colours, present

OPACITY = 0.5
CONTOUR_OPACITY = 0.85


def overlay(image: Uint8Array, class_map: Uint8Array, labels: LabelSpace, legend: bool = True) -> Image.Image:
    """Return `image` (H, W, 3) tinted with the colours of `class_map` (H, W).

    The image keeps its size; with `legend`, a strip below names the classes that occur (an image narrower than a
    class name is then centred on wider paper).
    """
    tinted = Image.fromarray(_tinted(image, class_map, labels))
    return with_legend(tinted, class_map, labels) if legend else tinted


def with_legend(tinted: Image.Image, class_map: Uint8Array, labels: LabelSpace) -> Image.Image:
    """Return `image` above a legend of the classes that occur in `class_map`."""
    items = legends.entries(present(class_map), labels)
    strip = legends.legend(items, tinted.width, legends.text_size(*tinted.size))
    sheet = Image.new("RGB", (strip.width, tinted.height + strip.height), legends.PAPER)
    sheet.paste(tinted, ((strip.width - tinted.width) // 2, 0))
    sheet.paste(strip, (0, tinted.height))
    return sheet


def error_map(image: Uint8Array, class_map: Uint8Array, label_map: Uint8Array) -> Image.Image:
    """Return the image in pale grey with every wrong pixel red; void pixels, which do not count, are hatched."""
    grey = np.asarray(Image.fromarray(image).convert("L"), np.float32)
    pale = np.repeat((150 + grey * 0.4)[..., None], 3, axis=2)
    void = label_map == IGNORE
    rows, columns = np.indices(void.shape, sparse=True)
    pale[void & ((rows + columns) % 6 < 2)] = 120
    wrong = (class_map != label_map) & ~void
    pale[wrong] = pale[wrong] * 0.25 + np.array([222, 45, 38], np.float32) * 0.75
    return Image.fromarray(pale.astype(np.uint8))


def contours(class_map: Uint8Array, width: int = 1) -> BoolArray:
    """Return the pixels (H, W) that lie on a line of about `width` pixels between different classes."""
    edge = np.zeros(class_map.shape, bool)
    edge[:, 1:] |= class_map[:, 1:] != class_map[:, :-1]
    edge[1:] |= class_map[1:] != class_map[:-1]
    for step in range(1, width):
        grown = edge.copy()
        if step % 2:
            grown[:, :-1] |= edge[:, 1:]
            grown[:-1] |= edge[1:]
        else:
            grown[:, 1:] |= edge[:, :-1]
            grown[1:] |= edge[:-1]
        edge = grown
    return edge


def _tinted(image: Uint8Array, class_map: Uint8Array, labels: LabelSpace) -> Uint8Array:
    if image.shape != (*class_map.shape, 3):
        raise ValueError(f"image of shape {image.shape} under a class map of shape {class_map.shape}")
    blend = Image.blend(Image.fromarray(image), Image.fromarray(colours(class_map, labels)), OPACITY)
    tinted = np.array(blend)
    edge = contours(class_map, max(1, round(min(class_map.shape) / 500)))
    tinted[edge] = (tinted[edge] * (1 - CONTOUR_OPACITY) + 255 * CONTOUR_OPACITY).astype(np.uint8)
    return tinted
