"""Ids of COCO files: numbers or texts, matched by their type unless only the other type is there."""

from typing import Any

import pytest

from globalconv.data.formats.coco_ids import Key, make_key, match_key
from globalconv.errors import InputError


@pytest.mark.parametrize(
    ("value", "keys", "expected"),
    [
        (1, [1, "1"], (1, False)),
        ("1", [1, "1"], ("1", False)),
        ("1", [1], (1, True)),
        (1, ["1"], ("1", True)),
        (1.0, [1], (1, False)),
        (1.5, ["1.5"], (1.5, False)),
        ("01", [1], ("01", False)),
        ("²", [2], ("²", False)),
        ("9" * 5000, [1], ("9" * 5000, False)),
        ("a-b", ["a-b"], ("a-b", False)),
    ],
)
def test_an_id_means_the_one_of_its_type_or_the_only_one(
    value: Key, keys: list[Key], expected: tuple[Key, bool]
) -> None:
    assert match_key(value, keys, "the id") == expected


@pytest.mark.parametrize("value", [None, True, [1], {}, "", float("nan"), float("inf")])
def test_what_is_no_id(value: Any) -> None:
    with pytest.raises(InputError, match=r"the id is .*; an id is a number or a text"):
        make_key(value, "the id")
