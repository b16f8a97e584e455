"""What is searched on is never reported on, and frames of one clip stay together."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers.infer import LABELS
from numpy.typing import NDArray

from globalconv.crf_tuning.halves import groups, halves, names, refuse_overlap, same_place, spread_over
from globalconv.data.source import Source
from globalconv.errors import InputError
from globalconv.labels import CAMVID, LabelSpace


@dataclass(frozen=True)
class Named:
    """A source of nothing but names."""

    sample_names: tuple[str, ...]
    labels: LabelSpace = LABELS
    name: str = "list place (val)"

    def __len__(self) -> int:
        return len(self.sample_names)

    def sample_name(self, index: int) -> str:
        return self.sample_names[index]

    def image(self, index: int) -> NDArray[np.uint8]:
        raise NotImplementedError

    label_map = image


CLIPS = tuple(
    f"val/{clip}_{frame:05d}" for clip, count in (("a", 9), ("b", 4), ("c", 4), ("d", 1)) for frame in range(count)
)


def test_camvid_is_grouped_by_clip_and_others_not_at_all() -> None:
    assert set(groups(Named(CLIPS, CAMVID), None)) == {"a", "b", "c", "d"}
    assert groups(Named(CLIPS), None) == list(CLIPS)


def test_an_expression_groups_by_its_match_or_its_first_group() -> None:
    assert set(groups(Named(CLIPS), r"^val/\w")) == {"val/a", "val/b", "val/c", "val/d"}
    assert set(groups(Named(CLIPS), r"/(\w)_(\d+)")) == {"a", "b", "c", "d"}


@pytest.mark.parametrize(("expression", "message"), [("(", "no regular expression"), ("x", "'val/a_00000'")])
def test_an_expression_that_does_not_fit(expression: str, message: str) -> None:
    with pytest.raises(InputError, match="`group_by`") as error:
        groups(Named(CLIPS), expression)
    assert message in str(error.value)


def test_halves_share_no_group_and_are_as_equal_as_groups_allow() -> None:
    parts = halves(Named(CLIPS, CAMVID), None)
    assert [len(part) for part in parts] == [9, 9]
    clips = [{name[4] for name in names(part)} for part in parts]
    assert clips[0] | clips[1] == set("abcd") and not clips[0] & clips[1]


def test_halves_of_single_images_do_not_depend_on_their_order() -> None:
    there, back = (halves(Named(order), None) for order in (CLIPS, CLIPS[::-1]))
    for part, other in zip(there, back, strict=True):
        assert sorted(names(part)) == sorted(names(other))
    assert [len(part) for part in there] == [9, 9]
    assert names(there[0]) != list(CLIPS[:9])


def test_one_clip_is_cut_into_earlier_and_later_frames() -> None:
    earlier, later = halves(Named(CLIPS[:9][::-1], CAMVID), None)
    assert names(earlier) == list(CLIPS[:5]) and names(later) == list(CLIPS[5:9])


def test_one_image_has_no_halves() -> None:
    with pytest.raises(InputError, match="`report_split`"):
        halves(Named(CLIPS[:1]), None)


def test_many_images_are_thinned_evenly() -> None:
    source: Source = Named(CLIPS)
    assert names(spread_over(source, 100)) == list(CLIPS)
    assert names(spread_over(source, 3)) == [CLIPS[0], CLIPS[8], CLIPS[17]]


def test_a_report_on_what_was_searched_on_is_refused() -> None:
    with pytest.raises(InputError, match="4 of its images are searched on"):
        refuse_overlap(Named(CLIPS[:8]), Named(CLIPS[4:], name="list place (other)"))
    refuse_overlap(Named(CLIPS[:8]), Named(CLIPS[8:], name="list place (other)"))


def test_one_folder_may_have_several_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("link").symlink_to("data")
    assert all(same_place(Path("data"), other) for other in (Path("data"), tmp_path / "data", Path("link/../data")))
    assert same_place(Path("data"), Path("link")) and same_place(None, None)
    assert not same_place(Path("data"), tmp_path) and not same_place(Path("data"), None)
