"""Images in a page: small enough to send, named, and still the images."""

import base64
import io

import numpy as np
from helpers.html import Reader
from PIL import Image

from globalconv.reports.page import WIDTH, Row, embedded, gallery


def opened(address: str) -> Image.Image:
    head, _, data = address.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_wide_images_are_reduced_and_small_ones_kept() -> None:
    assert opened(embedded(Image.new("RGB", (2000, 1000)))).size == (WIDTH, WIDTH // 2)
    assert opened(embedded(Image.new("RGB", (4000, 1)))).size == (WIDTH, 1)
    half = np.zeros((40, 60, 3), np.uint8)
    half[:, 30:] = 200
    kept = np.asarray(opened(embedded(Image.fromarray(half)))).astype(int)
    assert kept.shape == half.shape and abs(kept[:, 4:20] - 0).max() < 12 and abs(kept[:, 40:] - 200).max() < 12


def test_every_image_has_its_column_and_its_sample() -> None:
    photo = Image.new("RGB", (8, 6))
    text = gallery(["Image", "Truth"], [Row("day/1", "3% wrong", [photo, photo])])
    assert [image["alt"] for image in Reader(text).all("img")] == ["Image of day/1", "Truth of day/1"]
    assert all((image["width"], image["height"]) == ("8", "6") for image in Reader(text).all("img"))
    assert "day/1" in Reader(text).text and "3% wrong" in Reader(text).text
