"""A card holds any text, escaped, and says what is known and what is not."""

import math
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from globalconv.cards.card_facts import CardFacts, Publication, gather_facts
from globalconv.cards.card_limits import limits_of
from globalconv.cards.card_scores import CardScores, ClassScore, logged_scores
from globalconv.cards.model_card import render_card
from globalconv.cards.public_run import PublicRun, check_class_names
from globalconv.errors import InputError
from globalconv.infer.predictor import Predictor
from globalconv.labels import LabelSpace
from globalconv.model.network import GlobalConvNet
from globalconv.reports.history import History
from globalconv.runtime.text import printable

TINY = GlobalConvNet(2, "test_resnet", 3)

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


def facts(classes: list[ClassScore], publication: Publication | None = None, **fields: Any) -> CardFacts:
    scores = CardScores(0.5, classes, "val", "float32", 20, (0.4, 0.6), 0.75, by_image=True)
    given_fields: dict[str, Any] = {
        "described": "GCN", "custom_class": "", "class_names": [score.name for score in classes],
        "backbone": "resnet18", "dataset_name": "CamVid", "network": [("form", "GCN")],
        "data": [("data set", "CamVid")], "training": [],
        "settings": [], "limits": ["One."], "scores": scores, "told": [], **fields,
    }  # fmt: skip
    return CardFacts(publication or Publication("net"), **given_fields)


def front_matter(card: str) -> dict[str, Any]:
    assert card.startswith("---\n")
    values: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return values


def cells(card: str) -> list[str]:
    """Return the text of every cell of a card's tables, as a reader sees it."""
    body = card.split("\n---\n", 1)[1]
    return [
        "".join(child.content for child in token.children or () if child.type in ("text", "text_special"))
        for token in MARKDOWN.parse(body)
        if token.type == "inline" and token.level == 4
    ]


@given(st.text(min_size=1))
@pytest.mark.parametrize(
    "shown", ["|", "</td><script>alert(1)</script>", "**x** _y_ `z`", "[a](http://b)", "&amp; <b>"]
)
def test_any_name_is_shown_as_it_is_and_is_nothing_else(shown: str, name: str) -> None:
    for text in (shown, name, name + shown):
        card = render_card(facts([ClassScore(text, 0.5)], dataset_name=text))
        assert printable(text).strip() in [cell.strip() for cell in cells(card)]
        assert "<script" not in card.split("\n---\n", 1)[1]
        assert front_matter(card)["model-index"][0]["results"][0]["dataset"]["name"] == printable(text)


def test_links_mentions_and_emoji_are_text() -> None:
    card = render_card(facts([ClassScore("www.evil.example https://x.y @all :smile: #1 $x$", 0.5)]))
    line = next(line for line in card.splitlines() if "evil" in line)
    assert not any(mark in line for mark in ("www.", "://", "@", ":smile", "#1 ", "$"))
    assert "resnet18_x.in1k" in render_card(facts([ClassScore("resnet18_x.in1k", 0.5)])), "and names stay readable"


def test_the_front_matter_is_what_the_hub_reads() -> None:
    values = front_matter(render_card(facts([ClassScore("a", 0.5)], Publication("net", "me/net", "mit"))))
    assert values["library_name"] == "globalconv"
    assert values["pipeline_tag"] == "image-segmentation"
    assert values["license"] == "mit"
    assert "resnet18" in values["tags"]
    (result,) = values["model-index"][0]["results"]
    assert result["dataset"] == {"name": "CamVid", "type": "CamVid", "split": "val"}
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [
        ("mean_iou", 0.5),
        ("accuracy", 0.75),
    ]


@given(st.text(), st.text())
def test_the_client_of_the_hub_reads_the_scores_back(title: str, dataset: str) -> None:
    card = ModelCard(render_card(facts([ClassScore("a", 0.5)], Publication(title or "net"), dataset_name=dataset)))
    data: Any = card.data
    (score, _) = data.eval_results
    assert (score.task_type, score.metric_type, score.metric_value) == ("image-segmentation", "mean_iou", 0.5)
    assert score.dataset_name == (printable(dataset) or "data of the training")
    assert data.model_name == printable(title or "net")


def test_a_network_of_somebody_else_needs_its_code() -> None:
    card = render_card(facts([ClassScore("a", 0.5)], custom_class="nets.Mine"))
    assert "of the class nets.Mine, which is not among these files" in card
    assert "network=network" in card
    assert "globalconv predict" not in card


def test_no_licence_is_said_and_not_made_up() -> None:
    card = render_card(facts([ClassScore("a", 0.5)]))
    assert "license" not in front_matter(card)
    assert "Not stated." in card


@pytest.mark.parametrize("license_id", ["Apache-2.0", "my own", "mit\nx: y", ""])
def test_what_is_no_identifier_of_a_licence_is_refused(license_id: str) -> None:
    with pytest.raises(InputError, match="license"):
        Publication("net", license=license_id)


@pytest.mark.parametrize("repository", ["net", "me/net/x", "me/ne t", "me/n--t", 'me/"x', "../x", "me/x.git"])
def test_what_is_no_repository_is_refused(repository: str) -> None:
    with pytest.raises(InputError, match="write USER/NAME"):
        Publication("net", repository)


def test_intervals_stand_beside_their_classes_and_their_absence_is_said() -> None:
    card = render_card(facts([ClassScore("road", 0.8, (0.71, 0.89)), ClassScore("bus", 0.2), ClassScore("none")]))
    assert "| road | 0.800 | 0.710 – 0.890 |" in card
    assert "| bus | 0.200 | – |" in card
    assert "| none | – | – |" in card
    assert "| **mean** | **0.500** | 0.400 – 0.600 |" in card


def test_scores_of_the_log_are_those_of_the_step_that_was_kept() -> None:
    events = [
        {"event": "evaluation", "step": step, "miou": miou, "iou": {"a": miou, "b": None}, "images": 9}
        for step, miou in ((10, 0.3), (20, 0.5), (30, 0.4))
    ]
    labels = LabelSpace(("a", "b"))
    scores = logged_scores({"step": 20, "miou": 0.5}, History(events=events), labels, "val")
    assert scores is not None
    assert (scores.miou, scores.images, scores.interval) == (0.5, 9, None)
    assert scores.classes[0].iou == 0.5
    assert math.isnan(scores.classes[1].iou)
    assert "no intervals" in render_card(facts([], scores=scores))
    assert logged_scores({}, History(events=events), labels, "val") is None, "no step: it may be any of them"
    without_log = logged_scores({"step": 20, "miou": 0.5}, History(), labels, "val")
    assert without_log is not None
    assert "Only the mean was kept: mIoU 0.500" in render_card(facts([], scores=without_log))


@pytest.mark.parametrize("miou", [None, "0.5", float("nan"), 2, True])
def test_what_is_no_score_is_none(miou: object) -> None:
    assert logged_scores({"step": 1, "miou": miou}, History(), LabelSpace(("a",)), "val") is None
    assert "No score was kept" in render_card(facts([], scores=None))


def test_limits_say_what_was_not_tested() -> None:
    run = PublicRun(info={"val_split": "val"}, dataset={"data": "/x/y/CamVid"}, settings={"seed": 3})
    classes = [ClassScore("car", 0.3, (0.2, 0.4)), ClassScore("bus", 0.9), ClassScore("tram")]
    scores = CardScores(0.6, classes, "val", "float32", 20, by_image=True)
    text = " ".join(limits_of(run, scores))
    assert "val of CamVid, 20 images" in text
    assert "best score on this very split" in text
    assert "seed 3" in text
    assert "Weak classes, of IoU below 0.5: car (0.300)." in text
    assert "gets it: tram." in text
    assert "too few for an interval: bus." in text
    other = CardScores(0.6, classes, "test", "float32", 20, by_image=True)
    assert "best score" not in " ".join(limits_of(run, other)), "a split that had no say is a test"
    assert "Nothing is known about how well it does" in limits_of(run, None)[0]


def test_a_class_called_like_its_user_is_told_and_one_that_is_a_path_is_refused() -> None:
    assert not check_class_names(LabelSpace(("road", "road/side")), ("zaphod",))
    (told,) = check_class_names(LabelSpace(("road", "zaphod")), ("zaphod",))
    assert "'zaphod' has the name of this machine" in str(told)
    with pytest.raises(InputError, match="holds a path"):
        check_class_names(LabelSpace(("/Users/zaphod/x",)), ())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("step", "miou", "precision", "val_split", "train_split", "held_out", "train_images", "images", "recipe")
SETTINGS = ("data.augmentation.crop", "data.augmentation.scale", "optim.lr", "data.batch_size", "seed", "data.layout")


@given(
    st.dictionaries(st.sampled_from(NAMES), JSON),
    st.dictionaries(st.sampled_from(("data", "train", "val", "init_from", "backbone_weights", "labels")), JSON),
    st.dictionaries(st.sampled_from(SETTINGS), JSON),
    st.dictionaries(st.sampled_from(("versions", "hardware", "machine", "date", "iou", "images")), JSON),
)
def test_whatever_a_run_recorded_there_is_a_card(
    info: dict[str, Any], dataset: dict[str, Any], settings: dict[str, Any], event: dict[str, Any]
) -> None:
    predictor = Predictor(TINY, LabelSpace(("a", "b")))
    predictor.info = info
    events = [
        {"event": "start", "steps": 9, **event},
        {**event, "event": "evaluation", "step": 1, "miou": 0.5},
        {"event": "end", "seconds": 2.0},
    ]
    card = render_card(gather_facts(Publication("net"), predictor, History(settings, dataset, events)))
    front_matter(card)
    assert "## Limits" in card
