"""Addresses on the hub: what they are, whatever `Path` makes of them."""

from pathlib import Path

import pytest

from globalconv.errors import InputError
from globalconv.hub.address import HubAddress, is_address, parse_address, recorded_path, shown_path


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf://me/net", HubAddress("me/net")),
        ("hf://me/my.net-2_b@v1.0", HubAddress("me/my.net-2_b", "v1.0")),
        ("hf://me/net@refs/pr/1", HubAddress("me/net", "refs/pr/1")),
    ],
)
def test_an_address_survives_being_a_path(text: str, address: HubAddress) -> None:
    for form in (text, Path(text), Path(str(Path(text))), text.replace("/", "\\")):
        assert is_address(form)
        assert parse_address(form) == address
    assert str(address) == shown_path(Path(text)) == recorded_path(Path(text)) == text


def test_other_paths_are_none(tmp_path: Path) -> None:
    for path in ("runs/hf", "hf/me/net", "/hf:/x", "./hf:/me/net", "hf", 3):
        assert not is_address(path)
    assert recorded_path(tmp_path / "x" / ".." / "y") == str(tmp_path / "y")


@pytest.mark.parametrize(
    "text",
    ["hf://net", "hf://me/net/file", "hf://", "hf://me/", "hf://me/net@", "hf://me/net@../x", "hf://me/net@a//b",
     "hf://me/../net", "hf://me/ne?t", "hf://me/net@a b", "hf://-me/net", "hf://me/net.git"],
)  # fmt: skip
def test_what_names_no_repository_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_address(text)
    assert "\n" not in str(refused.value)
    assert "USER/NAME" in str(refused.value)


def test_only_a_whole_commit_is_one() -> None:
    assert HubAddress("me/net", "0" * 40).is_commit
    assert not HubAddress("me/net", "0" * 39).is_commit
    assert not HubAddress("me/net").is_commit
