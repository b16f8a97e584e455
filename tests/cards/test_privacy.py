"""Nothing of a machine or of its user is in what is published; what only looks like it stays."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.cards.privacy import private_names, public_json, public_name, without_private

NAMES = ("zaphod", "heart-of-gold")


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("/Users/zaphod/data/CamVid", "CamVid"),
        ("file /Users/zaphod/My Documents/weights.pth", "file weights.pth"),
        ("file:///srv/zaphod/x", "x"),
        (r"C:\Users\zaphod\weights.pt", "weights.pt"),
        (r"\\heart-of-gold\share\x", "x"),
        ("~/data/x", "x"),
        ("~zaphod/x", "x"),
        ("../zaphod/x", "x"),
        ("/mnt/a/", "…"),
        ("of (/mnt/a/b)", "of (b)"),
        ("runs/zaphod/x", "runs/…/x"),
        ("zaphod_run on HEART-OF-GOLD", "…_run on …"),
    ],
)
def test_paths_keep_their_last_name_and_names_none(text: str, public: str) -> None:
    assert without_private(text, NAMES) == public


@pytest.mark.parametrize(
    "text",
    [
        "road/sidewalk",
        "building / house",
        "1/2",
        "hf://zaphod/net@main",
        "https://a.b/c/d",
        "zaphods",
        "imagenet: x.in1k",
    ],
)
def test_what_is_neither_stays(text: str) -> None:
    assert without_private(text, NAMES) == text


def test_the_home_folder_and_the_working_folder_go_even_with_spaces(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("my secret place")
    monkeypatch.setenv("HOME", str(folder))
    assert without_private(f"from {folder}/x", ()) == "from x"
    assert without_private(f"in {folder}, there", ()) == "in …, there"
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", "/nowhere")
    assert without_private(f"{folder}/runs/x", ()) == "x"


def test_names_are_those_of_user_machine_and_of_recorded_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/Users/zaphod")
    monkeypatch.setenv("USER", "zbeeble")
    monkeypatch.setattr(socket, "gethostname", lambda: "heart.example.org")
    names = private_names("/Users/arthur/data", r"D:\Users\ford\x")
    assert {"zaphod", "zbeeble", "heart.example.org", "heart", "arthur", "ford"} <= set(names)
    assert list(names) == sorted(names, key=lambda name: -len(name))


def test_names_that_many_have_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "root")
    assert not {"root", "user"} & set(private_names("/Users/user/x"))


def test_every_text_of_json_is_cleaned() -> None:
    value = {"/Users/zaphod/k": ["/a/b/c", {"x": "zaphod"}, 3, None]}
    assert public_json(value, NAMES) == {"k": ["c", {"x": "…"}, 3, None]}


def test_a_folder_that_is_called_like_its_user_has_no_name() -> None:
    assert public_name("/Users/zaphod", NAMES) == "…"
    assert public_name("/data/My Images/", NAMES) == "My Images"


@given(st.text(), st.text())
def test_no_text_hides_a_home_folder(before: str, after: str) -> None:
    cleaned = without_private(f"{before} /Users/zaphod/x {after}", NAMES)
    assert "/Users/zaphod" not in cleaned
    assert "zaphod" not in without_private(f"{before} zaphod {after}", NAMES).replace(before, "").replace(after, "")
