"""Label Studio's protocol: its requests as its connector sends them, and a server that plays Label Studio's files."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from helpers.brush_decoder import decode_brush
from helpers.http_server import Client, brightest, encoded, picture, serving

from globalconv.serving.label_config import read_config
from globalconv.serving.label_studio import KEY
from globalconv.serving.refusals import RefusedRequest
from globalconv.serving.serve_settings import ServeSettings
from globalconv.serving.task_images import TaskImages

CONFIG = """<View>
  <!-- a comment -->
  <Image name="photo" value="$picture"/>
  <BrushLabels name="tag" toName="photo">
    <Label value="Red"/> <Label value="Sea" predicted_values="blue, ocean"/> <Label value="Tree"/>
  </BrushLabels>
</View>"""

PHOTO = picture(20, 30)


class LabelStudio:
    """Serves one file to those who have the key, and notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.files: dict[str, bytes] = {"/data/upload/1/photo.png": encoded(PHOTO)}
        self.redirect = ""
        self.address = ""


@contextmanager
def label_studio() -> Iterator[LabelStudio]:
    studio = LabelStudio()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            key = self.headers.get("Authorization", "")
            studio.asked.append((self.path, key))
            content = studio.files.get(self.path.partition("?")[0])
            if studio.redirect:
                self.send_response(302)
                self.send_header("Location", studio.redirect)
                self.end_headers()
            elif key not in ("Token secret", "Bearer short-lived"):
                self.send_error(401)
            elif content is None:
                self.send_error(404)
            else:
                self._answer(content)

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            studio.asked.append((self.path, json.dumps(sent)))
            self._answer(json.dumps({"access": "short-lived"}).encode())

        def _answer(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    studio.address = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield studio
    finally:
        http.shutdown()
        http.server_close()


@pytest.fixture(scope="module")
def studio() -> Iterator[LabelStudio]:
    with label_studio() as studio:
        yield studio


@pytest.fixture(scope="module")
def client(studio: LabelStudio) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY, "secret")
        with serving(settings=ServeSettings(label_studio_url=studio.address, max_bytes=50_000)) as client:
            yield client


def uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def ask(client: Client, *sources: Any, config: str = CONFIG) -> Any:
    """Ask as Label Studio's connector does."""
    tasks = [{"id": number, "data": {"picture": source}} for number, source in enumerate(sources)]
    request = {
        "tasks": tasks, "model_version": None, "project": "1.1733", "label_config": config,
        "params": {"login": None, "password": None, "context": None},
    }  # fmt: skip
    return client.post("/predict", json.dumps(request).encode(), content_type="application/json")


def check(prediction: Any) -> None:
    """The regions are the class maps of `PHOTO`, under the project's own names."""
    class_map = brightest().class_map(PHOTO)
    assert [region["value"]["brushlabels"] for region in prediction["result"]] == [["Red"], ["Sea"]]
    for region, index in zip(prediction["result"], (0, 2), strict=True):
        assert (region["from_name"], region["to_name"], region["type"]) == ("tag", "photo", "brushlabels")
        assert (region["original_width"], region["original_height"], region["image_rotation"]) == (30, 20, 0)
        assert region["value"]["format"] == "rle" and 0.3 < region["score"] <= 1
        rgba = decode_brush(region["value"]["rle"]).reshape(20, 30, 4)
        assert np.array_equal(rgba[..., 3] == 255, class_map == index)
    assert 0.3 < prediction["score"] <= 1 and prediction["model_version"] == "d1935"
    assert len({region["id"] for region in prediction["result"]}) == 2


def test_a_project_connects(client: Client) -> None:
    assert client.get("/health").json()["status"] == "UP"
    setup = {"project": "1.1733", "schema": CONFIG, "hostname": "http://evil.example", "access_token": "x"}
    assert client.post("/setup", json.dumps(setup).encode()).json() == {"model_version": "d1935"}
    assert client.post("/webhook", b'{"action": "ANNOTATION_CREATED"}').json()["status"] == "ignored"
    assert client.get("/versions").json() == {"versions": ["d1935"]}


def test_an_image_in_the_task_is_proposed_regions(client: Client) -> None:
    answer = ask(client, uri(encoded(PHOTO)))
    assert answer.status == 200, answer.content
    (prediction,) = answer.json()["results"]
    check(prediction)


@pytest.mark.parametrize("with_host", [False, True])
def test_an_uploaded_image_is_fetched_with_the_key(client: Client, studio: LabelStudio, with_host: bool) -> None:
    studio.asked.clear()
    path = "/data/upload/1/photo.png?x=1"
    answer = ask(client, f"{studio.address}{path}" if with_host else path)
    check(answer.json()["results"][0])
    assert studio.asked == [(path, "Token secret")]


def test_a_personal_access_token_is_exchanged_once(studio: LabelStudio) -> None:
    studio.asked.clear()
    images = TaskImages(studio.address, "head.body.signature", 50_000)
    for _ in range(2):
        assert images.get("/data/upload/1/photo.png").content == encoded(PHOTO)
    assert studio.asked[0] == ("/api/token/refresh/", '{"refresh": "head.body.signature"}')
    assert studio.asked[1:] == [("/data/upload/1/photo.png", "Bearer short-lived")] * 2


def test_nothing_is_fetched_from_elsewhere(client: Client, studio: LabelStudio) -> None:
    with label_studio() as other:
        port = other.address.rpartition(":")[2]
        for source in (
            f"{other.address}/data/upload/1/photo.png", f"//127.0.0.1:{port}/photo.png", "http://169.254.169.254/latest",
            "file:///etc/passwd", "ftp://127.0.0.1/x", "s3://bucket/photo.png", "/data/../../etc/passwd",
            "/data/%2e%2e/admin", f"{studio.address.replace('//', '//a@')}/data/upload/1/photo.png",
            f"{studio.address}@evil.example/photo.png", f"{studio.address}x/photo.png", "http://[::1/x",
            "https" + studio.address.removeprefix("http") + "/data/upload/1/photo.png",
        ):  # fmt: skip
            studio.asked.clear()
            answer = ask(client, source)
            assert answer.status == 422
            assert "(`label_studio_url`)" in answer.detail or "no address" in answer.detail
            assert "secret" not in answer.detail
            assert other.asked == studio.asked == []
        studio.redirect = f"{other.address}/data/upload/1/photo.png"
        try:
            assert "answers 302" in ask(client, "/data/upload/1/photo.png").detail
        finally:
            studio.redirect = ""
        assert other.asked == []


def test_a_base_with_a_path_holds_its_tasks_inside() -> None:
    images = TaskImages("https://example.org/studio/", None, 1000)
    inside = "https://example.org/studio/data/upload/1/a.png"
    assert images.address("/data/upload/1/a.png") == images.address("/studio/data/upload/1/a.png") == inside
    assert images.address(inside) == images.address("https://example.org:443/studio/data/upload/1/a.png") == inside
    for outside in ("https://example.org/other/a.png", "https://example.org/studiox/a.png"):
        with pytest.raises(RefusedRequest, match="leads out"):
            images.address(outside)


@pytest.mark.parametrize(
    ("source", "status", "words"),
    [
        (None, 422, "`image` None: is no address"),
        ("data:image/png,abc", 422, "without base64"),
        ("data:image/png;base64,@@@", 422, "base64 is damaged"),
        (uri(b"text"), 422, "no image"),
        (uri(b"0" * 60_000), 413, "`max_bytes`"),
        ("/data/upload/1/gone.png", 422, "Label Studio answers 404"),
    ],
)
def test_an_image_that_cannot_be_had_is_told(client: Client, source: object, status: int, words: str) -> None:
    answer = ask(client, source)
    assert answer.status == status and words in answer.detail


def test_a_file_that_is_too_large_and_a_studio_that_is_gone(studio: LabelStudio) -> None:
    images = TaskImages(studio.address, "secret", 100)
    with pytest.raises(RefusedRequest, match="more than 100 bytes"):
        images.get("/data/upload/1/photo.png")
    with pytest.raises(RefusedRequest, match="answers 401; set LABEL_STUDIO_API_KEY"):
        TaskImages(studio.address, None, 50_000).get("/data/upload/1/photo.png")
    with pytest.raises(RefusedRequest, match="cannot be reached"):
        TaskImages("http://127.0.0.1:9", "secret", 100).get("/data/upload/1/photo.png")
    with pytest.raises(RefusedRequest, match="start the server with `label_studio_url`"):
        TaskImages(None, None, 100).get("/data/upload/1/photo.png")


def test_of_many_tasks_those_without_an_image_have_no_regions(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    found = ask(client, uri(encoded(PHOTO)), "http://evil.example/x", uri(encoded(PHOTO))).json()["results"]
    check(found[0])
    check(found[2])
    assert found[1] == {"result": [], "score": 0.0, "model_version": "d1935"}
    assert "evil.example" in capsys.readouterr().err


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><View><Image name="photo" value="&b;"/></View>'


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("", "is not there"),
        (None, "is not there"),
        ("<View>", "is no XML"),
        (BOMB, "declares entities"),
        ("<View><Image name='photo' value='$picture'/></View>", "no BrushLabels"),
        (CONFIG.replace('toName="photo"', 'toName="other"'), "no BrushLabels"),
        (CONFIG.replace('"Red"', '"Rot"').replace("blue,", ""), "has the labels Rot, Sea, Tree"),
    ],
)
def test_a_configuration_without_a_place_for_the_classes_is_refused(config: object, words: str) -> None:
    with pytest.raises(RefusedRequest) as refusal:
        read_config(config, ("red", "green", "blue"))
    assert "`label_config`" in str(refusal.value) and words in str(refusal.value)


def test_labels_stand_for_classes_in_any_spelling() -> None:
    config = read_config(CONFIG.replace("Tree", "Traffic-Light"), ("sky", "traffic_light", "OCEAN"))
    assert config.labels == {1: "Traffic-Light", 2: "Sea"}
    assert (config.from_name, config.to_name, config.image_key) == ("tag", "photo", "picture")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"tasks": 3}', b'{"tasks": [{}]}', b'{"tasks": [{"data": 3}]}', b"[" * 9]
)
def test_what_is_no_request_of_label_studios_is_refused(client: Client, body: bytes) -> None:
    answer = client.post("/predict", body)
    assert answer.status == 400 and answer.detail
