"""Nobody is told to use a CRF that has not been shown to help."""

import numpy as np
import pytest

from globalconv.arrays import Int64Array
from globalconv.crf_tuning.verdict import judge
from globalconv.errors import InputError


def images(share: float, count: int = 20) -> list[Int64Array]:
    """Images of which this share is right in both classes, more or less."""
    noise = np.random.default_rng(0).integers(-30, 30, count)
    return [np.array([[1000 * share + n] * 2, [1000] * 2], np.int64) for n in noise]


ALONE = [str(index) for index in range(20)]


@pytest.mark.parametrize(
    ("on", "won", "word"),
    [
        (0.6, True, "use it"),
        (0.6, False, "no difference shown"),
        (0.5, True, "no difference shown"),
        (0.4, True, "do not use it"),
    ],
)
def test_the_word(on: float, won: bool, word: str) -> None:
    verdict = judge(images(0.5), images(on), ALONE, won)
    assert verdict.word == verdict.lines()[-1] == word
    assert verdict.gain == pytest.approx(on - 0.5) and verdict.unit == "image"


def test_too_few_images_show_nothing() -> None:
    verdict = judge(images(0.1, 7), images(0.9, 7), ALONE[:7], True)
    assert verdict.interval is None and verdict.word == "no difference shown"
    assert "fewer than 8 images" in "\n".join(verdict.lines())


def test_images_without_labels_say_nothing() -> None:
    """One labelled image is one image, however many without labels are beside it."""
    void = [np.zeros((2, 2), np.int64)] * 9
    verdict = judge(images(0.1, 1) + void, images(0.9, 1) + void, ALONE[:10], True)
    assert verdict.interval is None and verdict.images == 1 and verdict.word == "no difference shown"
    with pytest.raises(InputError, match="not one labelled pixel"):
        judge(void, void, ALONE[:9], True)


def test_frames_of_a_clip_are_drawn_together() -> None:
    """Ten clips of two equal frames say no more than ten frames."""
    off, on = images(0.5, 10), images(0.52, 10)
    on = [overlap + np.array([[40 * (index % 2)] * 2, [0, 0]]) for index, overlap in enumerate(on)]
    alone = judge(off, on, ALONE[:10], True)
    clips = judge(off * 2, on * 2, [str(index % 10) for index in range(20)], True)
    assert clips.unit == "group" and clips.images == 20 and clips.interval == pytest.approx(alone.interval)
    few = judge(off * 2, on * 2, [str(index % 2) for index in range(20)], True)
    assert few.unit == "image" and "fewer than 8 groups" in "\n".join(few.lines())


@pytest.mark.parametrize(
    ("groups", "on", "word"),
    [
        (1, 0.6, "helps on these groups"), (7, 0.6, "helps on these groups"), (8, 0.6, "use it"), (20, 0.6, "use it"),
        (1, 0.4, "do not use it"), (1, 0.5, "no difference shown"),
    ],
)  # fmt: skip
def test_a_few_clips_are_no_reason_to_use_it_everywhere(groups: int, on: float, word: str) -> None:
    """Their frames resemble each other, so that however many there are, nothing is known about other clips."""
    verdict = judge(images(0.5), images(on), [str(index % groups) for index in range(20)], True)
    assert verdict.word == verdict.lines()[-1] == word
