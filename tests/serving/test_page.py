"""The page in a real browser, without a display, on a network that was trained here."""

import io
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.http_server import Client, encoded, serving
from helpers.training import small_recipe, train, write_blobs
from PIL import Image

from globalconv.data.images import read_image
from globalconv.infer.predictor import Predictor, load

browsers = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page is not tried")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: the page is not tried in a browser")


class Trained:
    """A network of sixty steps, the images it was trained on, and a server with it."""

    def __init__(self, root: Path) -> None:
        self.data = write_blobs(root / "blobs")
        recipe = replace(small_recipe(lr=0.02), steps=60, evaluate_every=60, checkpoint_every=60, log_every=60)
        train(recipe, self.data, root / "run")
        self.predictor: Predictor = load(root / "run", "cpu", "float32")
        self.photo = self.data / "images" / "val" / "0.png"
        self.found = self.predictor(read_image(self.photo), probabilities=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def client(trained: Trained) -> Iterator[Client]:
    with serving(trained.predictor) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """A page of the server in the browser; what it says on its console, and where it went beside the server."""

    def __init__(self, browser: Any, client: Client, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 860}, accept_downloads=True) if (
            not options
        ) else browser.new_context(**options)  # fmt: skip
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url, client.address))
        self.page.goto(client.address)

    def _note(self, url: str, address: str) -> None:
        if not url.startswith((address, "blob:", "data:")):
            self.strangers.append(url)

    def give(self, file: Path) -> None:
        """Choose a file and wait for its classes."""
        self.page.set_input_files("#file", str(file))
        self.wait("current !== null && sending === null")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true; Playwright's own way is what the page's policy forbids."""
        end = time.monotonic() + 15
        while not self.page.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < end, f"{expression} never came true"
            self.page.wait_for_timeout(20)

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).text_content())


@pytest.fixture
def tab(browser: Any, client: Client) -> Iterator[Tab]:
    tab = Tab(browser, client)
    yield tab
    assert tab.strangers == [], "the page loads something from elsewhere"
    tab.context.close()


def names(trained: Trained) -> dict[str, float]:
    """The share of each class that occurs, largest first."""
    counts = np.bincount(trained.found.class_map.ravel(), minlength=len(trained.found.class_names))
    order = np.argsort(-counts, kind="stable")
    return {trained.found.class_names[index]: counts[index] / counts.sum() for index in order if counts[index]}


def test_an_image_is_shown_with_its_classes_and_their_shares(tab: Tab, trained: Trained) -> None:
    assert "3 classes" in tab.text("#about")
    tab.give(trained.photo)
    expected = names(trained)
    assert len(expected) > 1, "the network of this test finds one class alone"
    assert tab.page.locator("#legend .name").all_text_contents() == list(expected)
    shares = tab.page.locator("#legend .share").all_text_contents()
    assert shares[0] == f"{round(100 * next(iter(expected.values())))} %"
    assert "72 × 56" in tab.text("#caption") and tab.text("#status").startswith(f"Done. {next(iter(expected))}")
    assert not tab.page.locator("#drop").is_visible() and tab.complaints == []


def shown(tab: Tab) -> Any:
    """One pixel of the overlay's canvas for each of the image: its far corner, because lines lie at the near ones."""
    values = tab.page.evaluate(
        """() => {
          const { width, height } = $("tint"), scale = width / current.map.width, found = [];
          const { data } = $("tint").getContext("2d").getImageData(0, 0, width, height);
          for (let y = scale - 1; y < height; y += scale)
            for (let x = scale - 1; x < width; x += scale)
              found.push(...data.slice(4 * (y * width + x), 4 * (y * width + x) + 4));
          return found;
        }"""
    )
    return np.array(values, np.uint8).reshape(56, 72, 4)


def test_the_overlay_has_the_colours_of_the_classes_and_each_can_be_switched_off(tab: Tab, trained: Trained) -> None:
    tab.give(trained.photo)
    class_map, palette = trained.found.class_map, trained.found.labels.palette
    before = shown(tab)
    assert (before == np.dstack((np.array(palette, np.uint8)[class_map], np.full((56, 72), 255, np.uint8)))).all()
    tab.page.locator("#legend input").first.uncheck()
    first = trained.found.class_names.index(next(iter(names(trained))))
    after = shown(tab)
    assert not after[class_map == first].any() and np.array_equal(after[class_map != first], before[class_map != first])
    tab.page.click("#none")
    assert not shown(tab)[..., 3].any() and tab.page.locator("#legend input:checked").count() == 0
    tab.page.click("#all")
    assert np.array_equal(shown(tab), before)


def test_the_slider_fades_the_overlay(tab: Tab, trained: Trained) -> None:
    tab.give(trained.photo)
    tab.page.locator("#opacity").focus()
    for _ in range(5):
        tab.page.keyboard.press("ArrowLeft")
    assert tab.text("#opacity-value") == "50 %"
    assert tab.page.evaluate("$('tint').style.opacity") == "0.5"


def said(trained: Trained, x: int, y: int) -> tuple[str, int]:
    found = trained.found
    assert found.probabilities is not None
    return found.class_names[found.class_map[y, x]], round(100 * float(found.probabilities[:, y, x].max()))


@pytest.mark.parametrize("share", [(0.2, 0.3), (0.6, 0.7), (0.9, 0.1)])
def test_the_pointer_says_class_and_confidence(tab: Tab, trained: Trained, share: tuple[float, float]) -> None:
    tab.give(trained.photo)
    x, y = int(72 * share[0]), int(56 * share[1])
    box = tab.page.locator("#stage").bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] * (x + 0.5) / 72, box["y"] + box["height"] * (y + 0.5) / 56)
    name, sure = said(trained, x, y)
    assert tab.text("#tip b") == name
    assert abs(int(tab.text("#tip span:last-child").strip("> ").split()[0]) - sure) <= 1
    tab.page.mouse.move(5, 5)
    assert not tab.page.locator("#tip").is_visible()


def test_the_keyboard_alone_is_enough(tab: Tab, trained: Trained) -> None:
    tab.give(trained.photo)
    tab.page.locator("#stage").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowLeft"):
        tab.page.keyboard.press(key)
    x, y = 72 // 2 + 1 - 7, 56 // 2 + 1
    name, _ = said(trained, x, y)
    line = tab.text("#status")
    assert line.startswith(f"{name}, ") and line.endswith(f"column {x + 1}, row {y + 1}")
    tab.page.keyboard.press("Escape")
    assert not tab.page.locator("#tip").is_visible()
    seen = []
    for _ in range(12):
        tab.page.keyboard.press("Tab")
        seen.append(tab.page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        if seen[-1] == "BODY":  # behind the last one
            break
        outline = tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"{seen[-1]} does not show that it has the focus"
    assert {"choose-again", "camera-again", "opacity", "all", "none", "INPUT", "save-map", "save-overlay"} <= set(seen)


def test_everything_that_can_be_operated_has_a_name(tab: Tab, trained: Trained) -> None:
    tab.give(trained.photo)
    unnamed = tab.page.evaluate(
        """[...document.querySelectorAll('button, input, select, [tabindex="0"], summary, a')].filter((one) =>
        !(one.getAttribute('aria-label') || one.textContent.trim() || (one.labels && one.labels.length)))
        .map((one) => one.outerHTML)"""
    )
    assert unnamed == []
    assert (
        tab.page.locator("#status[aria-live=polite]").count() == tab.page.locator("#problem[role=alert]").count() == 1
    )
    assert tab.page.evaluate("document.documentElement.lang") == "en"


def download(tab: Tab, button: str) -> tuple[str, Image.Image]:
    with tab.page.expect_download() as waiting:
        tab.page.click(button)
    return waiting.value.suggested_filename, Image.open(io.BytesIO(Path(waiting.value.path()).read_bytes()))


def test_class_map_and_overlay_can_be_saved(tab: Tab, trained: Trained) -> None:
    tab.give(trained.photo)
    name, class_map = download(tab, "#save-map")
    assert name == "0.classes.png" and np.array_equal(np.asarray(class_map), trained.found.class_map)
    tab.page.click("#none")
    name, overlay = download(tab, "#save-overlay")
    assert name == "0.overlay.png"
    assert np.array_equal(np.asarray(overlay.convert("RGB")), read_image(trained.photo))  # nothing is on


def test_an_image_can_be_dropped_or_pasted(tab: Tab, trained: Trained) -> None:
    for event, carrier in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        tab.page.evaluate(
            """([event, carrier, content]) => {
              const transfer = new DataTransfer();
              transfer.items.add(new File([new Uint8Array(content)], `${event}.png`, { type: "image/png" }));
              const options = { [carrier]: transfer, bubbles: true, cancelable: true };
              const kind = event === "drop" ? DragEvent : ClipboardEvent;
              document.body.dispatchEvent(new kind(event, options));
            }""",
            [event, carrier, list(trained.photo.read_bytes())],
        )
        tab.wait(f"current && current.name === '{event}.png' && sending === null")
    assert tab.complaints == []


def test_a_photo_is_turned_upright_and_may_be_sent_reduced(tab: Tab, trained: Trained, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "turned.jpg").write_bytes(encoded(np.zeros((300, 1200, 3), np.uint8), "JPEG", exif=exif))
    tab.give(tmp_path / "turned.jpg")
    assert "300 × 1200" in tab.text("#caption")
    tab.page.select_option("#size", "512")
    tab.give(tmp_path / "turned.jpg")
    tab.wait("current.map.height === 512")
    assert "128 × 512, reduced from 300 × 1200" in tab.text("#caption")


def test_what_the_browser_cannot_show_is_segmented_all_the_same(tab: Tab, trained: Trained, tmp_path: Path) -> None:
    Image.open(trained.photo).save(tmp_path / "scan.tif")
    tab.give(tmp_path / "scan.tif")
    assert "cannot show" in tab.text("#caption")
    assert tab.page.locator("#legend .name").all_text_contents() == list(names(trained))


def test_errors_are_said_in_plain_words(tab: Tab, trained: Trained, client: Client, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(trained.photo.read_bytes()[:200])
    tab.page.set_input_files("#file", str(tmp_path / "broken.png"))
    tab.page.wait_for_selector("#problem:not(.hidden)")
    assert "could not be read as an image" in tab.text("#problem strong")
    assert "cannot be decoded" in tab.text("#problem small") and tab.page.locator("#drop").is_visible()
    (tmp_path / "notes.txt").write_text("hello")
    tab.page.set_input_files("#file", str(tmp_path / "notes.txt"))
    tab.wait("$('problem').textContent.includes('notes.txt')")
    tab.give(trained.photo)
    assert not tab.page.locator("#problem").is_visible()
    tab.page.route("**/v1/segment*", lambda route: route.abort())
    tab.page.set_input_files("#file", str(trained.photo))
    tab.page.wait_for_selector("#problem:not(.hidden)")
    assert "cannot be reached" in tab.text("#problem strong")


def test_a_busy_server_is_asked_again(tab: Tab, trained: Trained) -> None:
    refused = {"type": "about:blank", "title": "Too Many Requests", "status": 429, "detail": "the queue is full"}
    asked: list[float] = []

    def answer(route: Any) -> None:
        asked.append(0)
        if len(asked) == 1:
            route.fulfill(status=429, headers={"retry-after": "1"}, body=json.dumps(refused))
        else:
            route.continue_()

    tab.page.route("**/v1/segment*", answer)
    tab.page.set_input_files("#file", str(trained.photo))
    tab.wait("$('busy').textContent.includes('Trying again in 1 s')")
    tab.wait("current !== null")
    assert len(asked) == 2


def test_without_probabilities_the_class_alone_is_said(tab: Tab, trained: Trained) -> None:
    def answer(route: Any) -> None:
        response = route.fetch()
        found = response.json()
        found |= {"confidence": None, "classes": [{**each, "confidence": None} for each in found["classes"]]}
        route.fulfill(response=response, json=found)

    tab.page.route("**/v1/segment*", answer)
    tab.give(trained.photo)
    tab.page.locator("#stage").focus()
    tab.page.keyboard.press("ArrowDown")
    name, _ = said(trained, 36, 28)
    assert tab.text("#status") == f"{name}, column 37, row 29" and tab.text("#tip") == name and tab.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(browser: Any, client: Client, trained: Trained, scheme: str) -> None:
    size = {"width": 390, "height": 844}
    tab = Tab(browser, client, viewport=size, has_touch=True, is_mobile=True, color_scheme=scheme)
    tab.give(trained.photo)
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
    box = tab.page.locator("#stage").bounding_box()
    tab.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert tab.text("#tip b") == said(trained, 36, 28)[0]
    for selector in ("#choose-again", "#save-map", "#legend label"):
        assert tab.page.locator(selector).first.bounding_box()["height"] >= 32
    ink, paper = (
        [int(part) for part in tab.page.evaluate(f"getComputedStyle(document.body).{what}").strip("rgb()").split(", ")]
        for what in ("color", "backgroundColor")
    )
    assert (sum(ink) > sum(paper)) == (scheme == "dark") and abs(sum(ink) - sum(paper)) > 500
    assert tab.complaints == []
    tab.context.close()


def test_the_camera_takes_a_photo(tab: Tab) -> None:
    tab.page.click("#camera")
    tab.wait("$('video').videoWidth > 0")
    tab.page.click("#shoot")
    tab.wait("current !== null && sending === null")
    assert tab.text("#caption").startswith("photo.jpg") and not tab.page.locator("#camera-dialog").is_visible()
    assert tab.page.evaluate("stream") is None, "the camera is still on"
