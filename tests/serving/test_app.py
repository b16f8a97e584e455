"""Every path of the server: each output equals what the predictor computes, each refusal is one line."""

import base64
import io
import json
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from helpers.http_server import Client, brightest, encoded, form, picture, serving
from helpers.infer import LABELS
from PIL import Image

from globalconv.errors import InputError
from globalconv.geometry import Geometry
from globalconv.serving.answers import Output
from globalconv.serving.app import content_policy
from globalconv.serving.serve_settings import ServeSettings


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(settings=ServeSettings(max_bytes=100_000)) as client:
        yield client


def test_a_class_map_is_that_of_the_predictor_with_its_palette(client: Client) -> None:
    pixels = picture()
    answer = client.post("/v1/segment", encoded(pixels))
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    image = answer.image()
    assert np.array_equal(np.asarray(image), brightest().class_map(pixels))
    assert image.getpalette()[:9] == [channel for colour in LABELS.palette for channel in colour]  # type: ignore[index]
    assert {answer.headers[name] for name in ("cache-control", "x-content-type-options")} == {"no-store", "nosniff"}


def test_an_image_comes_as_body_or_as_file_of_a_form(client: Client) -> None:
    content = encoded(picture())
    body, content_type = form(("photo.png", content))
    answers = [
        client.post("/v1/segment", content),
        client.post("/v1/segment", content, content_type="image/png"),
        client.post("/v1/segment", content, content_type="application/x-www-form-urlencoded"),  # curl --data-binary
        client.post("/v1/segment", body, content_type=content_type),
    ]
    assert {(answer.status, answer.content) for answer in answers} == {(200, answers[0].content)}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("image/png", "image/png"), ("image/jpeg", "image/jpeg"), ("application/json", "application/json"),
        ("*/*", "image/png"), ("text/html, image/jpeg;q=0.5, image/png;q=0.2", "image/jpeg"),
        ("image/png;q=0, application/json", "application/json"),
    ],
)  # fmt: skip
def test_accept_chooses_the_output(client: Client, accept: str, media_type: str) -> None:
    answer = client.post("/v1/segment", encoded(picture()), accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (200, media_type)


def test_run_lengths_are_those_of_each_class(client: Client) -> None:
    tool = pytest.importorskip("pycocotools.mask", reason="pycocotools is optional")
    pixels = picture()
    found = client.post("/v1/segment?output=rle", encoded(pixels), accept="image/png").json()
    class_map = brightest().class_map(pixels)
    assert (found["width"], found["height"]) == (9, 6)
    assert [each["category"] for each in found["annotations"]] == ["red", "green", "blue"]
    for each in found["annotations"]:
        mask = tool.decode(each["segmentation"])
        assert np.array_equal(mask, class_map == each["category_id"]) and mask.sum() == each["area"]


def test_confidence_is_the_probability_of_the_class(client: Client) -> None:
    pixels = picture()
    answer = client.post("/v1/segment?output=confidence", encoded(pixels))
    probabilities = brightest()(pixels, probabilities=True).probabilities
    assert probabilities is not None
    assert np.array_equal(np.asarray(answer.image()), np.rint(255 * probabilities.max(0)))


def test_the_page_gets_everything_at_once(client: Client) -> None:
    pixels = picture()
    found = client.post("/v1/segment?output=all", encoded(pixels)).json()
    class_map = brightest().class_map(pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(found["class_map"])))), class_map)
    confidence = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["confidence"]))))
    assert confidence.shape == (found["height"], found["width"]) == (6, 9)
    shares = {each["name"]: each["share"] for each in found["classes"]}
    assert shares == pytest.approx(
        {name: (class_map == k).mean() for k, name in enumerate(LABELS.class_names)}, abs=1e-6
    )


def test_an_overlay_has_a_legend_or_none(client: Client) -> None:
    content = encoded(picture(60, 90))
    plain = client.post("/v1/segment?output=overlay&legend=false", content)
    assert plain.headers["content-type"] == "image/jpeg" and plain.image().size == (90, 60)
    assert client.post("/v1/segment?output=overlay", content).image().height > 60


def test_a_photograph_is_turned_upright(client: Client) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    answer = client.post("/v1/segment", encoded(picture(32, 64), "JPEG", exif=exif, quality=95))
    assert answer.image().size == (32, 64)


def test_a_batch_is_an_archive_that_says_which_is_which(client: Client) -> None:
    images = [picture(seed=seed) for seed in range(3)]
    files = [(f"../a b{seed}.png", encoded(image)) for seed, image in enumerate(images)]
    body, content_type = form(*files[:2], ("text.png", b"hello"), files[2], field="files")
    answer = client.post("/v1/segment/batch", body, content_type=content_type)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        listed = json.loads(archive.read("answers.json"))["images"]
        assert [each["name"] for each in listed] == ["../a b0.png", "../a b1.png", "text.png", "../a b2.png"]
        assert [each.get("file") for each in listed] == ["000-a_b0.png", "001-a_b1.png", None, "003-a_b2.png"]
        assert listed[2]["problem"]["status"] == 422 and "text.png" in listed[2]["problem"]["detail"]
        for image, each in zip(images, (listed[0], listed[1], listed[3]), strict=True):
            found = np.asarray(Image.open(io.BytesIO(archive.read(each["file"]))))
            assert np.array_equal(found, brightest().class_map(image))


def test_a_batch_of_run_lengths_is_one_list(client: Client) -> None:
    body, content_type = form(("a.png", encoded(picture())), ("b.png", b""), field="files")
    answer = client.post("/v1/segment/batch?output=rle", body, content_type=content_type)
    good, bad = answer.json()["images"]
    single = client.post("/v1/segment?output=rle", encoded(picture())).json()
    assert good == {"name": "a.png", **single} and "is empty" in bad["problem"]["detail"]


TOO_MANY_SCANS = encoded(picture(16, 16), "JPEG") + b"\xff\xda" * 300


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "words"),
    [
        ("/v1/segment?output=map", b"", {}, 400, "`output` map"),
        ("/v1/segment?ouput=rle", b"", {}, 400, "`ouput`"),
        ("/v1/segment?legend=perhaps", b"", {}, 400, "`legend` perhaps"),
        ("/v1/segment", b"", {"accept": "video/mp4"}, 406, "`Accept` video/mp4"),
        ("/v1/segment", b"", {}, 422, "is empty"),
        ("/v1/segment", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", {}, 422, "no image that Pillow can read"),
        ("/v1/segment", encoded(picture())[:40], {}, 422, "image"),
        ("/v1/segment", TOO_MANY_SCANS, {}, 422, "301 scans"),
        ("/v1/segment", b"0" * 100_001, {}, 413, "`body` of 100001 bytes"),
        ("/v1/segment", b"x", {"content-encoding": "gzip"}, 415, "`Content-Encoding` gzip"),
        ("/v1/segment", b"x", {"content-type": "multipart/form-data"}, 400, "no boundary"),
        ("/v1/segment", b"x" * 50, {"content-type": form()[1]}, 400, "is no multipart form"),
        ("/v1/segment", form(("a", b"x"))[0][:-9], {"content-type": form()[1]}, 400, "ends early"),
        ("/v1/segment", form()[0], {"content-type": form()[1]}, 400, "without a file"),
        ("/v1/segment", form(("a", b"x"), ("b", b"y"))[0], {"content-type": form()[1]}, 400, "more than 1 files"),
        ("/v1/segments", b"", {}, 404, "did you mean '/v1/segment'?"),
        ("/healthz", b"", {}, 405, "`method` POST: /healthz takes GET"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_parameter_its_value_and_the_remedy(
    client: Client, path: str, body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    answer = client.request("POST", path, body, headers)
    assert answer.status == status, answer.content
    assert words in answer.detail


def test_an_image_of_more_pixels_than_allowed_is_never_decoded(client: Client) -> None:
    for size in ((5_000, 5_000), (14_000, 14_000)):  # above the server's limit, above Pillow's
        file = io.BytesIO()
        Image.new("1", size).save(file, "PNG")
        assert len(file.getvalue()) < 120_000
        answer = client.post("/v1/segment", file.getvalue()[:99_999])
        assert answer.status == 413 and f"{size[0] * size[1] / 1e6:.4g} megapixels" in answer.detail


def test_what_the_model_is(client: Client) -> None:
    about = client.get("/v1/model").json()
    assert about["classes"] == ["red", "green", "blue"] and about["palette"][0] == [250, 0, 0]
    assert (about["digest"], about["precision"]) == ("d1935", "float32")
    assert about["limits"]["max_bytes"] == 100_000 and about["geometry"] == {"pad_to": None, "fill": [0, 0, 0]}


def test_health_and_the_description_of_all_paths(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    description = client.get("/openapi.json").json()
    segment = description["paths"]["/v1/segment"]["post"]
    outputs: Any = next(each for each in segment["parameters"] if each["name"] == "output")
    assert set(get_args(Output)) == {value for kind in outputs["schema"]["anyOf"] for value in kind.get("enum", [])}
    assert {"200", "429", "413"} <= set(segment["responses"]) and "multipart/form-data" in segment["requestBody"][
        "content"
    ]


def test_metrics_count_requests_images_and_batches() -> None:
    with serving() as client:
        client.post("/v1/segment", encoded(picture()))
        client.post("/v1/segment", b"no image")
        client.get("/nowhere")
        lines = client.get("/metrics").content.decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values['globalconv_requests_total{path="/v1/segment",status="200"}']) == 1
    assert float(values['globalconv_requests_total{path="/v1/segment",status="422"}']) == 1
    assert float(values['globalconv_requests_total{path="other",status="404"}']) == 1
    assert float(values["globalconv_images_total"]) == float(values["globalconv_batch_size_count"]) == 1
    assert float(values['globalconv_request_seconds_count{path="/v1/segment"}']) == 2
    assert float(values["globalconv_queue_length"]) == 0 and float(values["globalconv_pixels_total"]) == 54


def test_other_pages_may_call_only_where_allowed(client: Client) -> None:
    body, origin = encoded(picture()), {"origin": "https://example.org"}
    assert "access-control-allow-origin" not in client.request("POST", "/v1/segment", body, origin).headers
    with serving(settings=ServeSettings(allow_origin=("https://example.org",))) as other:
        answer = other.request("POST", "/v1/segment", body, origin)
        assert answer.headers["access-control-allow-origin"] == "https://example.org"
        refused = other.request("POST", "/v1/segment", b"", origin)
        assert refused.status == 422 and "access-control-allow-origin" in refused.headers
        stranger = other.request("POST", "/v1/segment", body, {"origin": "https://example.com"})
        assert "access-control-allow-origin" not in stranger.headers


def test_an_error_of_ours_is_one_line_that_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    predictor = brightest()
    predictor.class_maps = lambda images: 1 / 0  # type: ignore[assignment, method-assign, return-value]
    with serving(predictor) as client:
        answer = client.post("/v1/segment", encoded(picture()))
        assert answer.status == 500 and "division" not in answer.detail
        assert client.get("/healthz").status == 200
    told = [line for line in capsys.readouterr().err.splitlines() if "please report" in line]
    assert len(told) == 1 and "ZeroDivisionError" in told[0]


def test_scores_that_are_no_numbers_are_no_class_map() -> None:
    predictor = brightest()
    predictor.network.scale.data.fill_(float("nan"))
    with warnings.catch_warnings(action="ignore"), serving(predictor) as client:
        answer = client.post("/v1/segment", encoded(picture()))
    assert answer.status == 500 and "no finite numbers" in answer.detail


def exported() -> Any:
    """A predictor over a file that was exported without probabilities, in a folder that is nobody's business."""
    predictor = brightest()
    geometry = Geometry((40, 50))
    facts = {"has_probabilities": False, "least_side": 80, "geometry": geometry, "digest": "e"}
    predictor.backend.metadata = SimpleNamespace(**facts)  # type: ignore[attr-defined]
    predictor.backend.path = Path("/secret/place/network.onnx")  # type: ignore[attr-defined]
    compute = predictor.class_maps

    def class_maps(images: list[Any]) -> list[Any]:
        if min(images[0].shape[:2]) < 80:
            raise InputError(f"image of 9x6: {Path('/secret/place/network.onnx')} takes images of at least 80 pixels")
        return compute(images)

    predictor.class_maps = class_maps  # type: ignore[assignment, method-assign]
    return predictor


def test_a_file_without_probabilities_is_served_without_confidence() -> None:
    pixels = picture(80, 90)
    with serving(exported()) as client:
        client.service.batcher.warm_up()  # with an image that is large enough
        about = client.get("/v1/model").json()
        assert about["confidence"] is False and about["geometry"]["pad_to"] == [40, 50]
        found = client.post("/v1/segment?output=all", encoded(pixels)).json()
        refused = client.post("/v1/segment?output=confidence", encoded(pixels))
        small = client.post("/v1/segment", encoded(picture()))
    assert found["confidence"] is None and {each["confidence"] for each in found["classes"]} == {None}
    assert sum(each["share"] for each in found["classes"]) == pytest.approx(1, abs=1e-5)
    assert refused.status == 400 and "without probabilities" in refused.detail
    assert small.status == 422 and small.detail == "image of 9x6: the network takes images of at least 80 pixels"


def test_a_page_runs_its_own_script_and_style_alone() -> None:
    policy = content_policy("<style>a</style><script>b</script>")
    assert "script-src 'sha256-PiPoFgA5WUoziU9lZOGxNIu9egCI1CxKy3PurtWcAJ0='" in policy
    assert "unsafe" not in policy and "default-src 'none'" in policy
