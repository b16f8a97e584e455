"""`push`: what is published is what was trained, nothing private goes with it, and every refusal is one line."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from helpers.fake_hub import FakeHub
from helpers.hub_client import turn_client_to
from helpers.private import SECRETS, belong_to_user, private_run
from helpers.saved_weights import INFO, LABELS, edit, network_of, same, save_run
from helpers.training import small_recipe, write_blobs
from safetensors import safe_open

import globalconv
from globalconv.cli.main import main
from globalconv.errors import InputError, InputWarning
from globalconv.jobs.card import CardScoring
from globalconv.weights import load_weights, save_weights

FILES = {"README.md", "model.json", "weights.safetensors"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return save_run(tmp_path)


@pytest.fixture(autouse=True)
def token(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_writer")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data `blobs` and a network trained on them, `run`."""
    root = tmp_path_factory.mktemp("trained")
    globalconv.train(small_recipe(), write_blobs(root / "blobs"), root / "run")
    return root


def refusal(run: Path, repository: str = "zaphod/net", **options: Any) -> str:
    with pytest.raises(InputError) as refused:
        globalconv.push(run, repository, **options)
    line = str(refused.value)
    assert "\n" not in line and "hf_" not in line.replace("hf_hub", ""), line
    return line


def test_what_was_pushed_loads_back_equal(hub: FakeHub, run: Path) -> None:
    published = globalconv.push(run, "zaphod/net", license="mit")
    assert set(hub.files("zaphod/net")) == {*FILES, ".gitattributes"}
    assert not hub.repositories["zaphod/net"].private
    assert published.page == f"{hub.endpoint}/zaphod/net" and published.changed
    model, before = load_weights(Path("hf://zaphod/net")), load_weights(run)
    assert same(model.network, before.network)
    assert (model.labels, model.info, model.geometry) == (before.labels, before.info, before.geometry)
    assert model.folder.name == published.address.revision
    for name in ("model.json", "weights.safetensors"):
        assert hub.files("zaphod/net")[name] == (run / name).read_bytes(), "nothing private was in them"
    card = hub.files("zaphod/net")["README.md"].decode()
    assert 'license: "mit"' in card and 'globalconv.load("hf://zaphod/net")' in card


def test_a_trained_run_takes_its_recipe_and_card_along(hub: FakeHub, trained: Path) -> None:
    globalconv.push(trained / "run", "zaphod/blobs", scoring=CardScoring(trained / "blobs", device="cpu", images=True))
    files = hub.files("zaphod/blobs")
    assert set(files) == {*FILES, ".gitattributes", "recipe.json", *(f"images/example-{n}.jpg" for n in (1, 2, 3))}
    assert json.loads(files["recipe.json"]) == json.loads((trained / "run" / "recipe.json").read_text())
    assert b"images/example-1.jpg" in files["README.md"]
    globalconv.push(trained / "run", "zaphod/blobs")
    assert set(hub.files("zaphod/blobs")) == {*FILES, ".gitattributes", "recipe.json"}, "images that were withdrawn"


def test_private_and_branches(hub: FakeHub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    globalconv.push(run, "zaphod/net", private=True)
    assert hub.repositories["zaphod/net"].private
    globalconv.push(run, "zaphod/net", private=True, revision="v2", license="mit")
    assert hub.repositories["zaphod/net"].branches.keys() == {"main", "v2"}
    assert "license" not in hub.files("zaphod/net")["README.md"].decode().split("---")[1]
    assert b'"hf://zaphod/net@v2"' in hub.files("zaphod/net", "v2")["README.md"]
    load_weights(Path("hf://zaphod/net@v2"))
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(InputError, match="no such repository"):
        load_weights(Path("hf://zaphod/net@v2"))


def test_pushing_again_sends_nothing_that_is_there(hub: FakeHub, run: Path, tmp_path: Path) -> None:
    first = globalconv.push(run, "zaphod/net")
    again = globalconv.push(run, "zaphod/net")
    assert again.address == first.address and not again.changed
    assert list(hub.uploaded.values()) == [1]
    globalconv.push(run, "zaphod/net", license="mit")
    assert list(hub.uploaded.values()) == [1], "another card is no reason to send the weights"
    save_weights(tmp_path / "other", network_of(1), LABELS, INFO)
    assert globalconv.push(tmp_path / "other", "zaphod/net").changed
    assert list(hub.uploaded.values()) == [1, 1]


def test_a_cut_upload_ends_in_one_line_and_the_same_call_completes_it(hub: FakeHub, run: Path) -> None:
    hub.cuts["PUT"] = 10**6
    line = refusal(run)
    assert "the connection to the hub failed or was cut" in line and "not sent again" in line
    assert set(hub.files("zaphod/net")) == {".gitattributes"}, "no half of it is there"
    hub.cuts.clear()
    globalconv.push(run, "zaphod/net")
    assert same(load_weights(Path("hf://zaphod/net")).network, network_of(0))
    assert list(hub.uploaded.values()) == [1]


def test_an_upload_that_is_cut_once_goes_on_by_itself(hub: FakeHub, run: Path) -> None:
    hub.cuts["PUT"] = 2
    globalconv.push(run, "zaphod/net")
    assert list(hub.uploaded.values()) == [1]


def test_what_arrived_before_the_commit_is_not_sent_again(
    hub: FakeHub, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub._commit_api as client

    real = client._send_commit

    def cut(**_: Any) -> None:
        raise ConnectionResetError("cut")

    monkeypatch.setattr(client, "_send_commit", cut)
    assert "cut" in refusal(run)
    monkeypatch.setattr(client, "_send_commit", real)
    globalconv.push(run, "zaphod/net")
    assert list(hub.uploaded.values()) == [1]


def test_who_may_not_is_told_why(hub: FakeHub, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "you may not write to it" in refusal(run, "arthur/net")
    hub.add("arthur/public", {})
    assert "you may not write to it" in refusal(run, "arthur/public")
    monkeypatch.setenv("HF_TOKEN", "hf_revoked")
    assert "log in with hf auth login" in refusal(run)
    monkeypatch.delenv("HF_TOKEN")
    hub.requests.clear()
    assert "needs a token" in refusal(run)
    assert not hub.requests
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    hub.failing = 503
    assert "HTTP 503" in refusal(run)
    hub.failing = 404
    assert "no such place" in refusal(run)
    hub.failing = 429
    assert "too many requests" in refusal(run)
    hub.failing = None
    hub.endpoint = "http://127.0.0.1:9"
    turn_client_to(hub, tmp_path / "cache", monkeypatch, "hf_writer")
    assert "the connection to the hub failed" in refusal(run)


def test_a_name_that_is_taken_is_left_alone(hub: FakeHub, run: Path) -> None:
    commit = hub.add("zaphod/net", {"config.json": b"{}", "pytorch_model.bin": b"x"})
    assert "taken by something else (config.json, pytorch_model.bin)" in refusal(run)
    assert hub.repositories["zaphod/net"].branches == {"main": commit}
    hub.add("zaphod/begun", {"README.md": b"---\nlicense: mit\n---\n"})
    globalconv.push(run, "zaphod/begun")


def test_nothing_private_goes_to_a_public_repository(hub: FakeHub, run: Path) -> None:
    globalconv.push(run, "zaphod/net")
    assert "is public" in refusal(run, private=True)


@pytest.mark.parametrize(
    ("repository", "options", "words"),
    [
        ("net", {}, "write USER/NAME"),
        ("zaphod/n--t", {}, "write USER/NAME"),
        ("zaphod/net", {"revision": "../x"}, "no branch, tag or commit"),
        ("zaphod/net", {"revision": "0" * 40}, "is no branch"),
        ("zaphod/net", {"revision": "refs/pr/1"}, "is no branch"),
        ("zaphod/net", {"license": "My Own"}, "identifiers for licences"),
    ],
)
def test_what_the_hub_would_refuse_is_refused_before_it_is_asked(
    hub: FakeHub, run: Path, repository: str, options: dict[str, Any], words: str
) -> None:
    assert words in refusal(run, repository, **options)
    assert not hub.requests


def test_damaged_weights_are_not_published(hub: FakeHub, run: Path) -> None:
    edit(run, lambda description: description.update(mean=[0.1, 0.1, 0.1]))
    assert "not as it was saved" in refusal(run)
    assert "hf://zaphod/x: is on the hub already" in refusal(Path("hf://zaphod/x"))
    assert not hub.requests


def test_no_file_leaks_anything(hub: FakeHub, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = private_run(trained / "run", tmp_path)
    belong_to_user(monkeypatch)
    hub.users["hf_writer"] = "ford"
    globalconv.push(run, "ford/net", scoring=CardScoring(trained / "blobs", split="val", layout="folder", images=True))
    files = hub.files("ford/net")
    with safe_open(write(tmp_path / "w.safetensors", files["weights.safetensors"]), framework="pt") as file:
        texts = {"metadata": json.dumps(file.metadata())}
    texts |= {name: files[name].decode() for name in ("README.md", "model.json", "recipe.json")}
    texts["names"] = " ".join(files)
    texts["requests"] = " ".join(hub.requests)
    for name, text in texts.items():
        found = [secret for secret in (*SECRETS, str(tmp_path), str(trained)) if secret in text]
        assert not found, (name, found)
    assert same(load_weights(Path("hf://ford/net")).network, load_weights(run).network)


def test_names_of_held_out_images_stay_at_home_and_a_later_score_is_warned_of(
    hub: FakeHub, trained: Path, tmp_path: Path
) -> None:
    model = load_weights(trained / "run")
    info = {**model.info, "held_out": ["patient-smith", "patient-jones"]}
    save_weights(tmp_path / "run", model.network, model.labels, info, model.geometry)
    globalconv.push(tmp_path / "run", "zaphod/net")
    assert not [name for name, content in hub.files("zaphod/net").items() if b"patient" in content]
    with pytest.warns(InputWarning, match="held out 2 images, whose names were not published"):
        globalconv.evaluate("hf://zaphod/net", trained / "blobs", device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        globalconv.evaluate("hf://zaphod/net", trained / "blobs", split="train", device="cpu")


def test_the_command_says_where_it_is(hub: FakeHub, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(run), "zaphod/net", "--private", "--revision", "v1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    commit = hub.repositories["zaphod/net"].branches["v1"]
    assert lines == [
        f"done: {hub.endpoint}/zaphod/net, commit {commit}",
        "next: globalconv predict hf://zaphod/net@v1 IMAGE --out FOLDER",
    ]
    assert main(["push", str(run), "zaphod/net", "--private", "--revision", "v1"]) == 0
    assert "nothing has changed" in capsys.readouterr().out
    assert main(["push", str(run), "arthur/net"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
