"""The generated scenes: reproducible, varied, labelled as promised, and fair to the network."""

import numpy as np
import pytest

from globalconv.data.scenes import objects
from globalconv.data.scenes.canvas import Canvas, Light, Pose, SceneObject
from globalconv.data.scenes.objects import PAIRS
from globalconv.data.scenes.scene import SCENES, SPLITS, Dial, SceneSource, draw_scene, open_scenes
from globalconv.errors import InputError
from globalconv.labels import IGNORE

TOOLS = [objects.PENCIL, objects.BRUSH, objects.SPOON, objects.FORK]


@pytest.mark.parametrize("size", [48, 192, 321])
def test_a_scene_is_a_function_of_seed_index_and_size(size: int) -> None:
    image, label_map = draw_scene(5, 7, size)
    again, labels_again = draw_scene(5, 7, size)
    assert (image.shape, label_map.shape) == ((size, size, 3), (size, size))
    assert image.dtype == label_map.dtype == np.uint8
    assert (image == again).all()
    assert (label_map == labels_again).all()
    assert (image != draw_scene(5, 8, size)[0]).any()
    assert (image != draw_scene(6, 7, size)[0]).any()


@pytest.mark.filterwarnings("error")
def test_every_class_occurs_and_images_are_rich() -> None:
    counts = np.zeros(256, np.int64)
    for index in range(40):
        image, label_map = draw_scene(1, index)
        counts += np.bincount(label_map.ravel(), minlength=256)
        assert 30 < image.mean() < 225, "neither black nor white"
        assert image.std() > 8
        assert len(np.unique(image)) > 60
    assert set(np.flatnonzero(counts)) == {*range(SCENES.num_classes), IGNORE}
    share = counts / counts.sum()
    assert (share[1 : SCENES.num_classes] > 0.004).all()
    assert 0.6 < share[0] < 0.9
    assert 0.02 < share[IGNORE] < 0.1


def test_a_void_strip_lies_between_any_two_labels() -> None:
    for index in range(10):
        label_map = draw_scene(1, index)[1].astype(int)
        for these, those in ((label_map[1:], label_map[:-1]), (label_map[:, 1:], label_map[:, :-1])):
            touching = (these != those) & (these != IGNORE) & (those != IGNORE)
            assert not touching.any()


def head_free_body(thing: SceneObject) -> np.ndarray:
    """Return the cover of a tool beyond 40 % of its length, where no head reaches."""
    return thing.cover() * (thing.where.along > 60)


@pytest.mark.parametrize(("first_tool", "second_tool"), PAIRS)
def test_bodies_of_a_pair_look_alike(first_tool: object, second_tool: object) -> None:
    """Same distribution of width and colour far from the head: a class could not be message there."""
    bodies: list[list[tuple[float, ...]]] = [[], []]
    for kind, draw in enumerate((first_tool, second_tool)):
        for seed in range(300):
            rng = np.random.default_rng([kind, seed])
            thing = draw(Pose(192, 20, 96, 0.0, 150.0), rng)  # type: ignore[operator]
            shaft = thing.parts[0]
            body = head_free_body(thing)
            assert (body == shaft.cover * (thing.where.along > 60)).all(), "nothing but the shared body lies there"
            inside = body > 0.5
            colour = np.broadcast_to(shaft.colour, (*body.shape, 3))[inside].mean(axis=0)
            bodies[kind].append((float(body.sum()), *map(float, colour)))
    first, second = (np.asarray(rows) for rows in bodies)
    error = np.sqrt((first.var(axis=0) + second.var(axis=0)) / 300)
    assert (np.abs(first.mean(axis=0) - second.mean(axis=0)) < 4 * error).all()


@pytest.mark.parametrize("draw", [draw for pair in PAIRS for draw in pair])
def test_the_cue_is_the_head(draw: object) -> None:
    thing = draw(Pose(192, 20, 96, 0.0, 150.0), np.random.default_rng(0))  # type: ignore[operator]
    assert thing.cue is not None
    along = thing.where.along[0] if thing.where.along.shape[0] == 1 else thing.where.along
    reach = np.broadcast_to(along, thing.cue.shape)[thing.cue > 0.5]
    assert reach.max() < 31, "the head ends after a fifth of the tool"
    assert (thing.cue > 0.5).sum() > 60


def spied(monkeypatch: pytest.MonkeyPatch, count: int, dial: Dial) -> list[tuple[Canvas, np.ndarray]]:
    """Return the canvas and the label map of some scenes."""
    kept: list[Canvas] = []
    original = Canvas.label_map

    def spy(canvas: Canvas) -> np.ndarray:
        kept.append(canvas)
        return original(canvas)

    monkeypatch.setattr(Canvas, "label_map", spy)
    maps = [draw_scene(1, index, dial=dial)[1] for index in range(count)]
    return list(zip(kept, maps, strict=True))


def test_no_head_is_hidden_or_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    tools = 0
    for canvas, _ in spied(monkeypatch, 30, Dial()):
        visible = np.bincount(canvas.cues_HW.ravel(), minlength=len(canvas.labels))
        for number, area in enumerate(canvas.cue_areas):
            if area:
                tools += 1
                assert visible[number] >= 0.89 * area
                assert area > 40, "inside the image"
    assert tools > 50


def test_a_thing_that_would_hide_a_head_is_not_laid() -> None:
    canvas = Canvas(np.full((192, 192, 3), 0.5, np.float32), Light(0, 0, 1))
    rng = np.random.default_rng(0)
    assert canvas.put(objects.spoon(Pose(192, 30, 96, 0.0, 120.0), rng))
    before = canvas.image_HW3.copy()
    assert not canvas.put(objects.coin(Pose(192, 44, 96, 0.0), rng)), "on the bowl"
    assert not canvas.put(objects.coin(Pose(192, 900, 900, 0.0), rng)), "outside the image"
    assert (canvas.image_HW3 == before).all()
    assert canvas.put(objects.coin(Pose(192, 110, 96, 0.0), rng)), "on the handle"
    assert canvas.label_map()[96, 110] == objects.COIN
    assert canvas.label_map()[96, 44] == objects.SPOON
    void = np.flatnonzero(canvas.label_map()[:, 110] == IGNORE)
    assert np.diff(void).tolist().count(1) == len(void) // 2 == 2, "two strips, above and below, of two pixels each"


def test_the_source_draws_each_scene_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def counted(seed: int, index: int, size: int, dial: Dial) -> tuple[np.ndarray, np.ndarray]:
        drawn.append(index)
        return draw_scene(seed, index, size, dial)

    monkeypatch.setattr("globalconv.data.scenes.scene.draw_scene", counted)
    source = SceneSource(3, 48, 9)
    for index in (0, 1, 2, 0):
        image, label_map = source.image(index), source.label_map(index)
        image[:], label_map[:] = 0, 0
        assert source.image(index).any(), "what a caller does to an array stays with the caller"
    assert drawn == [0, 1, 2, 0]
    assert [source.sample_name(index) for index in range(len(source))] == ["scene-00000", "scene-00001", "scene-00002"]


def test_splits_are_different_scenes() -> None:
    train, val = open_scenes("train"), open_scenes("val")
    assert (len(train), len(val)) == (SPLITS["train"][0], SPLITS["val"][0])
    assert train.seed != val.seed
    assert (train.image(0) != val.image(0)).any()


@pytest.mark.parametrize("distance", [32, 64, 112])
def test_a_tool_counts_at_its_head_and_beyond_the_distance_only(monkeypatch: pytest.MonkeyPatch, distance: int) -> None:
    far = 0
    for canvas, label_map in spied(monkeypatch, 25, Dial(distance=distance)):
        for number, label in enumerate(canvas.labels):
            if label not in TOOLS:
                continue
            heads = np.argwhere(canvas.cues_HW == number)
            valid = np.argwhere((canvas.objects_HW == number) & (canvas.cues_HW == 0) & (label_map != IGNORE))
            assert len(heads)
            if len(valid):
                gaps = np.hypot(*(valid[:, None] - heads[None]).transpose(2, 0, 1)).min(axis=1)
                assert gaps.min() >= distance
                far += len(valid)
    assert far > 25 * 100, "enough of every tool is seen beyond the distance"


def test_a_scene_holds_at_most_one_tool_of_a_pair() -> None:
    for index in range(40):
        classes = set(np.unique(draw_scene(1, index)[1]))
        assert not {objects.PENCIL, objects.BRUSH} <= classes
        assert not {objects.SPOON, objects.FORK} <= classes


@pytest.mark.parametrize("distance", [0, 64])
def test_the_control_is_the_same_scene_with_marks_on_the_bodies(distance: int) -> None:
    for index in range(12):
        far, labels = draw_scene(1, index, dial=Dial("far", distance))
        local, labels_too = draw_scene(1, index, dial=Dial("local", distance))
        assert (labels == labels_too).all()
        changed = (far != local).any(axis=2)
        tool = np.isin(labels, TOOLS) | (labels == IGNORE)
        assert changed.any()
        assert not changed[~tool].any()


@pytest.mark.parametrize("draw", [draw for pair in PAIRS for draw in pair])
def test_marks_lie_near_every_pixel_of_a_body(draw: objects.Tool) -> None:
    """Nowhere farther than nine pixels, so that a window of that size tells the class."""
    pose = Pose(192, 20, 96, 0.0, 150.0)
    plain, marked = (draw(pose, np.random.default_rng(3), kind) for kind in (False, True))
    body = marked.cover() * (marked.where.along > objects.HEAD) > 0.5
    colours = [np.broadcast_to(thing.parts[0].colour, (*body.shape, 3)) for thing in (plain, marked)]
    marks = np.argwhere(body & (np.abs(colours[0] - colours[1]).max(axis=2) > 0.15))
    gaps = np.hypot(*(np.argwhere(body)[:, None] - marks[None]).transpose(2, 0, 1)).min(axis=1)
    assert gaps.max() < 9


@pytest.mark.filterwarnings("error")
def test_a_spoon_of_any_length_is_drawn_without_a_warning() -> None:
    """Where the bowl's taper would reach zero lies a pixel of the handle."""
    unit = 192 * 0.75 / 192
    depth = 14 * unit
    pose = Pose(144, 10.0, 70.0, 0.0, 130.0)
    where = pose.patch(0, pose.length, 9)
    assert where.along.max() > depth * (1 + 1 / 0.12), "long enough for the case"
    objects.spoon(pose, np.random.default_rng(0))


def test_the_marks_of_a_pair_differ() -> None:
    """Rings come and go along the body, lines do not."""
    for pair in PAIRS:
        varying = []
        for draw in pair:
            pose = Pose(192, 20, 96, 0.0, 150.0)
            plain, marked = (draw(pose, np.random.default_rng(3), kind) for kind in (False, True))
            shape = (*marked.where.along.shape, 3)
            change = np.abs(np.broadcast_to(marked.parts[0].colour, shape) - plain.parts[0].colour).max(axis=2)
            body = change[np.abs(change.shape[0] // 2 - np.arange(change.shape[0])) <= 2, 80:110]
            varying.append(float(np.ptp(body.max(axis=0))))
        assert varying[0] > 0.2 > varying[1]


@pytest.mark.parametrize(
    ("dial", "message"), [(Dial(distance=-1), "`distance` -1"), (Dial(distance=116), "115 pixels")]
)
def test_what_does_not_fit_into_a_scene_is_refused(dial: Dial, message: str) -> None:
    with pytest.raises(InputError, match=message):
        dial.check(192)
