"""Broken inputs to every verb, each with words of its message; the page `docs/refusals.md` is made from them."""

import json
import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from helpers.archives import zip_of
from helpers.datasets import image
from helpers.official import SBD_VAL, VOC_VAL, cityscapes_tree, coco_tree, sbd_tree, voc_tree
from helpers.pretraining import write_colours
from helpers.training import small_recipe, train, write_blobs
from PIL import Image
from safetensors.numpy import save_file

from globalconv.labels import VOC
from globalconv.model.network import GlobalConvNet
from globalconv.weights import save_weights

PAGE = Path(__file__).parents[2] / "docs" / "refusals.md"

TINY = (
    "--model.backbone test_resnet --model.backbone-weights none --model.kernel-size 3 --data.augmentation.crop 48 64"
    " --data.batch-size 2 --steps 3"
)


_SCRATCH = "--model.backbone-weights none"
_PAPER = "paper table5 --recipe folder --data blobs"


@dataclass(frozen=True)
class Refusal:
    """A command (paths relative to a prepared folder), its exit code, and words that its message must contain."""

    about: str
    command: str
    words: str
    code: int = 2

    @property
    def arguments(self) -> list[str]:
        return shlex.split(self.command.replace("TINY", TINY))


def _train(about: str, options: str, words: str, code: int = 2, data: str = "blobs", out: str = "new") -> Refusal:
    return Refusal(about, f"train folder --data {data} --out {out} {options}".strip(), words, code)


def _named(split: str, data: str = "official") -> str:
    return f"train folder --data {data} --out new TINY --data.train-split {split} --data.val-split {split}"


REFUSALS = [
    Refusal("a verb that does not exist", "trian", "did you mean 'train'?"),
    Refusal("a recipe that does not exist", "train camvidd --data blobs --out new", "camvidd"),
    Refusal("a recipe to list that does not exist", "recipes camvidd", "did you mean 'camvid'?"),
    _train("an option that does not exist", "--optim.lrr 1", "--optim.lrr"),
    Refusal("an option without its value", "train folder --data blobs --out", "--out"),
    Refusal("a required option left out", "train folder --data blobs", "--out"),
    _train("a word for a number", "--optim.lr fast", "--optim.lr"),
    _train("a value out of range", "--optim.momentum 1", "--optim.momentum 1"),
    _train("an even kernel", "--model.kernel-size 14", "kernel_size=14"),
    _train("three kernels for four levels", "--model.kernel-size 3 5 7", "kernel_size=[3, 5, 7]"),
    _train("an unknown head", "--model.head gnc", "did you mean 'gcn'?"),
    _train("an unknown backbone", "--model.backbone resnet19", "resnet19"),
    _train("a backbone without feature maps", "--model.backbone vit_tiny_patch16_224", "vit_tiny"),
    _train("frozen batch norm from scratch", f"{_SCRATCH} --model.backbone-norm frozen", "frozen"),
    _train(
        "layer decay over levels side by side",
        f"{_SCRATCH} --model.backbone hrnet_w18_small --optim.layer-decay 0.8",
        "hrnet",
    ),
    _train("drop path where there is none", "--model.backbone vgg11_bn --model.drop-path 0.1", "stochastic depth"),
    _train("ImageNet weights without a network", "--model.backbone resnet18", "backbone_weights"),
    _train("frozen stages without weights", f"{_SCRATCH} --model.frozen-stages 1", "--model.frozen-stages 1"),
    _train("a backbone file that is not there", "--model.backbone-weights missing.pth", "missing.pth"),
    _train("a backbone file of something else", "--model.backbone-weights other.safetensors", "other.safetensors"),
    _train("a CUDA device that is not there", "--device cuda:7", "cuda:7"),
    Refusal("no data named", "train folder --out new", "--data"),
    _train("data that is not there", "", "nowhere", data="nowhere"),
    _train("a folder that is no data set", "", "empty", data="empty"),
    _train("a split that does not exist", "--data.val-split dev", "dev"),
    _train("an image without its label map", "", "lonely", data="lonely"),
    _train("a label map of another size", "TINY", "0.png", data="sizes"),
    _train("a colour mask instead of indices", "TINY", "0.png", data="colours"),
    _train("a label outside the declared classes", "TINY", "9", data="outside"),
    _train("a truncated label map", "TINY", "0.png", data="truncated"),
    _train("other weights to begin with when going on", "--resume --init-from other", "fresh weights", out="run"),
    Refusal("a stage's field out of range", "train voc --out new --sbd.optim.lr -1", "(of the stage sbd)"),
    Refusal("several data sets and a split of none", _named("train"), "name each split with its data set"),
    Refusal("a data set that does not exist", _named("vok:train"), "did you mean 'voc'?"),
    Refusal("SBD without VOC", _named("sbd:train", "sbd=official"), "add voc=PATH"),
    Refusal("a place for a data set that does not exist", _named("voc:train", "vok=official"), "--data vok=official"),
    Refusal("data sets of different classes joined", _named("voc:train+cityscapes:coarse"), "other classes"),
    Refusal("masks of VOC's test images", _named("voc:test"), "VOC publishes none"),
    Refusal("a VOC mask in another palette", _named("voc:val"), "its palette is not VOC's"),
    Refusal("a damaged .mat file", _named("sbd:val"), "GTcls.Segmentation"),
    Refusal("a COCO file that is cut short", _named("coco:train"), "cut short"),
    Refusal("train ids under the name of label ids", _named("cityscapes:train"), "look like train ids"),
    Refusal("fine masks of Cityscapes where only coarse ones are", _named("cityscapes:val"), "coarse-val"),
    Refusal("a list that names a missing file", "train camvid --data listed --out new", "train.txt"),
    _train("an --out that holds a run", "", "--resume", out="run"),
    _train("an --out that is a file", "", "is a file", out="photo.png"),
    _train("an --out full of other things", "", "not empty", out="blobs"),
    _train("--resume without a run", "--resume", "--resume"),
    _train("--resume with another recipe", "--resume", "was started with another recipe", out="run"),
    _train("--init-from a folder without weights", "--init-from empty", "empty"),
    _train("--init-from another network", "--init-from run", "run"),
    _train("a loss that explodes", "TINY --optim.lr 1e30 --optim.warmup-steps 0", "diverged", code=3),
    Refusal("pre-training without data", "pretrain --out new", "--data"),
    Refusal("pre-training on no folder of classes", "pretrain --data blobs --out new", "train/CLASS"),
    Refusal("images of one class", "pretrain --data single --out new", "fewer than two folders"),
    Refusal("a class that only val has", "pretrain --data strange --out new", "val/colour 2"),
    Refusal("a truncated image of a class", "pretrain --data torn --out new", "colour 0/0.png"),
    Refusal("batch norm of one image", "pretrain --data images --out new --data.batch-size 1", "at least 2"),
    Refusal("a crop smaller than a cell", "pretrain --data images --out new --data.augmentation.crop 16", "crop 16"),
    Refusal(
        "a backbone to pre-train that is none",
        "pretrain --data images --out new --model.backbone resnet50_gnc",
        "'resnet50_gcn'",
    ),
    Refusal("pre-training into a run of another kind", "pretrain --data images --out run --resume", "not a recipe"),
    Refusal("a job of data that does not exist", "data chek blobs", "did you mean 'check'?"),
    Refusal("a check of a folder that is no data set", "data check empty", "empty"),
    Refusal("a check without a process", "data check blobs --workers 0", "--workers 0"),
    Refusal("a check that cannot show anything as JPEG", "data check blobs --sheet sheet.jpg", "--sheet sheet.jpg"),
    Refusal("an official data set that does not exist", "data prepare vocc --out new", "did you mean 'voc'?"),
    Refusal("one that needs an account", "data prepare cityscapes --out new", "--archives FOLDER"),
    Refusal("archives that are not there", "data prepare imagenet --out new --archives nowhere", "--archives nowhere"),
    Refusal(
        "a package it does not have", "data prepare coco --out new --packages train2018", "did you mean 'train2017'"
    ),
    Refusal("a mirror that is no server", "data prepare voc --out new --mirror photos", "--mirror photos"),
    Refusal("an official data set into a file", "data prepare voc --out photo.png", "--out photo.png"),
    Refusal(
        "an archive that writes elsewhere",
        "data prepare cityscapes --out new --archives hostile --packages gtFine",
        "'../../evil' leads out",
    ),
    Refusal(
        "an archive that is none", "data prepare cityscapes --out new --archives damaged --packages gtFine", "damaged"
    ),
    Refusal("a sheet without a name", "data check blobs --sheet=", "is a folder"),
    Refusal("a sheet over an image", "data check blobs --sheet photo.png", "not written by globalconv"),
    Refusal("a sheet below a file", "data check blobs --sheet photo.png/sheet.png", "photo.png is a file"),
    Refusal("more processes than any machine has", "data check blobs --workers 1000000000", "1 to 512"),
    Refusal("more scenes than anybody draws", "data scenes --out new --train 99999999999999999999", "1 to 10,000,000"),
    Refusal("scenes in a folder of other things", "data scenes --out blobs", "--out blobs"),
    Refusal("a cue farther away than the scene is wide", "data scenes --out new --distance 300", "--distance 300"),
    Refusal("a cue of no such kind", "data scenes --out new --cue near", "near"),
    Refusal("a set without a scene", "data scenes --out new --train 0", "--train 0"),
    Refusal("weights that are not there", "evaluate nowhere --data blobs", "nowhere"),
    Refusal("a folder without weights", "evaluate empty --data blobs", "empty"),
    Refusal("a pre-trained backbone", "evaluate backbone --data blobs", "--model.backbone-weights"),
    Refusal("an address on the hub that is none", "evaluate hf://net --data blobs", "write USER/NAME"),
    Refusal("a network on the hub, without a network", "evaluate hf://me/net --data blobs", "HF_HUB_OFFLINE"),
    Refusal("images in a card without data", "card run --images", "--data PATH"),
    Refusal("a licence that the hub does not know", "card run --license 'My Own'", "apache-2.0"),
    Refusal("a card in place of another file", "card run --out notes.md", "was not written by globalconv"),
    Refusal("a place to publish that is none", "push run net", "write USER/NAME"),
    Refusal("a commit to publish to", f"push run me/net --revision {'0' * 40}", "is no branch"),
    Refusal("damaged weights to publish", "push damaged me/net", "weights.safetensors"),
    Refusal("damaged weights", "evaluate damaged --data blobs", "weights.safetensors"),
    Refusal("a damaged model.json", "evaluate halfjson --data blobs", "model.json"),
    Refusal("neither weights nor predictions", "evaluate --data blobs", "--predictions"),
    Refusal("a network of other classes than the data's", "evaluate run --data named", "class"),
    Refusal("evaluate without data", "evaluate run", "--data"),
    Refusal("predictions that are missing", "evaluate --predictions empty --data blobs", "empty"),
    Refusal("an unknown precision", "evaluate run --data blobs --precision float16", "--precision"),
    Refusal("a report of an evaluation that is no page", "evaluate run --data blobs --report new.txt", "new.html"),
    Refusal("a report of an evaluation without a name", "evaluate run --data blobs --report=", "is a folder"),
    Refusal("a report of nothing", "report", "no run given"),
    Refusal("a report of a run that is not there", "report nowhere", "nowhere"),
    Refusal("a run compared with itself", "report run run", "named twice"),
    Refusal("runs of other classes compared", "report run renamed --data blobs --out new.html", "not those of run"),
    Refusal("runs on other data compared", "report run moved", "--data"),
    Refusal("a run whose data have moved", "report moved", "gone"),
    Refusal("a report that is no page", "report run --out report.pdf", "report.html"),
    Refusal("a report over something else", "report run --out mine.html", "not written by globalconv"),
    Refusal("an image that is not there", "predict run nowhere.jpg --out new", "nowhere.jpg"),
    Refusal("a glob that matches nothing", "predict run '*.tiff' --out new", "*.tiff"),
    Refusal("an --out that is the input", "predict run photos --out photos", "photos"),
    Refusal("a broken image among good ones (skipped)", "predict run photo.png broken.jpg --out new", "broken.jpg"),
    Refusal("a tile that is no multiple of 32", "predict run photo.png --out new --tile 100", "--tile 100"),
    Refusal("a boundary region without a pixel", "evaluate run --data blobs --regions.width 0", "--regions.width 0"),
    Refusal("an unknown metric of regions", "evaluate run --data blobs --regions.metric city", "--regions.metric"),
    Refusal("a tile without a pixel", "evaluate run --data blobs --tile 0", "--tile 0"),
    Refusal("an overlap as large as the tile", "evaluate run --data blobs --tile 64 --overlap 64", "--overlap 64"),
    Refusal("a scale of nothing", "evaluate run --data blobs --scales 1 0", "--scales 0"),
    Refusal("a scale that is no number", "evaluate run --data blobs --scales nan", "--scales nan"),
    Refusal("Cityscapes' crops of another image", "evaluate run --data blobs --tile cityscapes", "72x56"),
    Refusal("a server without weights", "serve empty --port 0", "empty"),
    Refusal("a server at another machine's address", "serve run --host 192.0.2.1", "--host 192.0.2.1"),
    Refusal("a port that no machine has", "serve run --port 70000", "--port 70000"),
    Refusal("a page where an origin is asked for", "serve run --allow-origin https://a.org/b", "https://a.org/b"),
    Refusal("an address of Label Studio that is none", "serve run --label-studio-url here", "--label-studio-url here"),
    Refusal("a CRF nobody published", "predict run photo.png --out new --crf deeplab", "did you mean 'deeplabv2-voc'?"),
    Refusal("more pixels than allowed", "predict run photo.png --out new --max-pixels 99", "--max-pixels 4032"),
    Refusal("a CRF from a file of something else", "predict run photo.png --out new --crf photo.png", "--crf"),
    Refusal("a search without data", "crf-search run --out new", "--data"),
    Refusal("a search in a folder of other things", "crf-search run --data blobs --out blobs", "--out blobs"),
    Refusal("a search that was never begun", "crf-search run --data blobs --out new --resume", "no search"),
    Refusal("a search on no image", "crf-search run --data blobs --out new --images 0", "--images 0"),
    Refusal("a search without a process", "crf-search run --data blobs --out new --workers 0", "--workers 0"),
    Refusal("a kernel of no width", "crf-search run --data blobs --out new --appearance-xy 0", "--appearance-xy 0.0"),
    Refusal("a CRF for a search of one", "crf-search run --data blobs --out new --crf example", "--crf example"),
    Refusal("groups by no expression", "crf-search run --data blobs --out new --group-by '('", "--group-by ("),
    Refusal("groups that no name has", "crf-search run --data blobs --out new --group-by x", "--group-by x"),
    Refusal("a report on what was searched on", "crf-search run --data blobs --out new --report-split val", "flatter"),
    Refusal("a field without an image", "vrf run --at 5,5", "globalconv vrf WEIGHTS IMAGE"),
    Refusal("a field over its image", "vrf run photo.png --at 5,5 --out photo.png", "not written by globalconv"),
    Refusal("a field of no pixel", "vrf run photo.png --at 5", "--at 5"),
    Refusal("a field of a pixel outside the image", "vrf run photo.png --at 500,5 --out new.png", "--at 500,5"),
    Refusal(
        "a field of a class there is not", "vrf run photo.png --at 5,5 --class klass --out new.png", "--class klass"
    ),
    Refusal("a field at a scale of nothing", "vrf run photo.png --at 5,5 --scales 0", "--scales 0"),
    Refusal("a threshold above the largest value", "vrf run photo.png --at 5,5 --threshold 2", "--threshold 2"),
    Refusal("so few occluders that they leave gaps", "vrf run photo.png --at 5,5 --occluders 3", "leave gaps"),
    Refusal(
        "a label map of another image",
        "vrf run photo.png --at 5,5 --label-map sizes/labels/train/0.png",
        "--label-map",
    ),
    Refusal("a field into no image", "vrf run photo.png --at 5,5 --out new.txt", "--out new.txt"),
    Refusal("a table that the paper does not have", "paper tabel1", "did you mean 'table1'?"),
    Refusal("a table of no training", f"{_PAPER} --seeds 0", "--seeds 0"),
    Refusal("a table of trainings without a step", f"{_PAPER} --budget 0", "--budget 0"),
    Refusal("what a table compares, as an option", f"{_PAPER} --model.head conv", "--model.head"),
    Refusal("stages of a recipe that has none", "paper table7 --recipe folder --data blobs", "compares 3 stages"),
    Refusal("a table without rows that show most", "paper table6 --recipe folder --data blobs --first", "--first"),
    Refusal("options of a table that is only printed", "paper table8 --seeds 3", "takes no options"),
    Refusal("tables of which each has its own recipe", "paper table1 table7 --data blobs", "--recipe NAME"),
    Refusal("advice without data", "advise", "--data"),
    Refusal("advice from no image", "advise --data blobs --images 0", "--images 0"),
    Refusal("advice on an even kernel", "advise --data blobs --kernel-sizes 4", "kernel_size=4"),
    Refusal("a submission to nobody", "submit ade20k run --data blobs --out new.tgz", "ade20k"),
    Refusal("a submission of other classes", "submit voc run --data blobs --out new.tgz", "PASCAL VOC 2012 has 21"),
    Refusal("an archive the server does not take", "submit voc run --data blobs --out new.zip", "call it new.tgz"),
    Refusal(
        "a competition Cityscapes does not have",
        "submit cityscapes run --data blobs --out new.zip --competition comp5",
        "--competition comp5",
    ),
    Refusal("a submission without its images", "submit voc voc --data blobs --out new.tgz", "JPEGImages"),
    Refusal("a submission of a part of the images", "submit voc voc --data few --out new.tgz", "--trial"),
    Refusal("a size that is none", "cost --size 512", "--size 512: give height x width"),
    Refusal("a width of a stack where there is none", "cost --model.stack-width 8", "no head is a stack"),
    Refusal("a network of more classes than pixels", "cost --classes 4294967296", "1 to 100,000"),
    Refusal("an even kernel to compare", "cost --kernel-sizes 3 4", "kernel_size=4"),
    Refusal("settings for a network that is saved", "cost run --model.backbone resnet50", "model.json"),
    Refusal("a cost of weights", "cost --model.backbone-weights imagenet", "change no cost"),
    Refusal("a latency of nothing", "cost --model.backbone test_resnet --latency --repeats 0", "--repeats 0"),
    Refusal("a demo without a scene", "demo --out new --scenes 0", "--scenes 0"),
    Refusal("demo into a folder of other things", "demo --out blobs", "blobs"),
]


def prepare(root: Path) -> None:
    """Make the folder that the commands run in: a run, good data, and data broken in one way each."""
    blobs = write_blobs(root / "blobs")
    train(small_recipe(), blobs, root / "run")
    for name in ("empty", "photos"):
        (root / name).mkdir()
    for name in ("lonely", "sizes", "colours", "outside", "truncated", "named"):
        shutil.copytree(blobs, root / name)
    for name in ("damaged", "halfjson", "renamed", "moved"):
        shutil.copytree(root / "run", root / name, ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))
    image, label = Path("images/train/0.png"), Path("labels/train/0.png")
    (root / "lonely" / label).unlink()
    Image.new("L", (72, 50)).save(root / "sizes" / label)
    Image.new("RGB", (72, 56), (128, 0, 0)).save(root / "colours" / label)
    Image.fromarray(np.full((56, 72), 9, np.uint8)).save(root / "outside" / label)
    classes = [{"name": name, "index": index} for index, name in enumerate(("grey", "red", "green"))]
    for name in ("outside", "named"):
        (root / name / "classes.json").write_text(json.dumps(classes))
    os.truncate(root / "truncated" / label, 60)
    (root / "listed").mkdir()
    (root / "listed" / "train.txt").write_text("images/a.png labels/a.png\n")
    os.truncate(root / "damaged" / "weights.safetensors", 1000)
    (root / "halfjson" / "model.json").write_text('{"format": 1,')
    _edit(root / "renamed" / "model.json", lambda d: {**d, "labels": {**d["labels"], "class_names": ["a", "b", "c"]}})
    _edit(root / "moved" / "dataset.json", lambda dataset: {**dataset, "data": "gone"})
    (root / "mine.html").write_text("<p>written by hand</p>")
    (root / "notes.md").write_text("written by hand")
    save_file({"some.tensor": np.zeros(3, np.float32)}, root / "other.safetensors")
    for name in ("photo.png", "photos/photo.png"):
        shutil.copy(blobs / image, root / name)
    _archives(root)
    _submission(root)
    _images(root)
    _break_official(root / "official")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff not an image")


def _images(root: Path) -> None:
    """Write image folders: a good one, one of a single class, one with a class only in val, one with half an image."""
    images = write_colours(root / "images")
    for name in ("single", "strange", "torn"):
        shutil.copytree(images, root / name)
    for name in ("colour 1", "colour 2"):
        shutil.rmtree(root / "single" / "train" / name)
    shutil.rmtree(root / "strange" / "train" / "colour 2")
    os.truncate(root / "torn" / "train" / "colour 0" / "0.png", 400)
    (root / "backbone").mkdir()
    shutil.copy(root / "other.safetensors", root / "backbone" / "backbone.safetensors")


def _archives(root: Path) -> None:
    """Write two archives under the name of an official one: one that writes elsewhere, one that is none."""
    (root / "hostile").mkdir()
    (root / "hostile" / "gtFine_trainvaltest.zip").write_bytes(zip_of({"../../evil": b"x"}))
    (root / "damaged" / "gtFine_trainvaltest.zip").write_bytes(b"<html>please log in</html>")


def _submission(root: Path) -> None:
    """Write a network of VOC's classes, `voc`, and one image of VOC's test split, `few`."""
    save_weights(root / "voc", GlobalConvNet(VOC.num_classes, backbone="test_resnet", kernel_size=3), VOC, {})
    image(root / "few" / "JPEGImages" / "2008_000001.jpg")
    (root / "few" / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "few" / "ImageSets" / "Segmentation" / "test.txt").write_text("2008_000001\n")


def _break_official(root: Path) -> None:
    """Write the official data sets and break each in one way."""
    voc, sbd = voc_tree(root) / "VOC2012", sbd_tree(root) / "dataset"
    coco, cityscapes = coco_tree(root), cityscapes_tree(root)
    grey = Image.open(voc / f"SegmentationClass/{VOC_VAL[0]}.png")
    grey.putpalette([value for index in range(256) for value in (index, index, index)])
    grey.save(voc / f"SegmentationClass/{VOC_VAL[0]}.png")
    os.truncate(sbd / f"cls/{SBD_VAL[0]}.mat", 200)
    (coco / "annotations/instances_train2017.json").write_text('{"images": [')
    for mask in (cityscapes / "gtFine/train").glob("*/*.png"):
        Image.fromarray(np.resize(np.arange(10, dtype=np.uint8), (64, 128))).save(mask)
    shutil.rmtree(cityscapes / "gtFine/val")


def _edit(file: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


def page(lines: dict[str, str]) -> str:
    """Return the page of all messages, from `lines` (about -> line)."""
    rows = [f"| {r.about} | `{r.command.replace(' TINY', '')}` | {r.code} | {lines[r.about]} |" for r in REFUSALS]
    return "\n".join(
        [
            "# Messages for broken input",
            "",
            "Each command prints one line on standard error and ends with an exit code, without traceback and without",
            "overwriting files. The test suite runs all of them and makes this page:",
            "`UPDATE_PAGES=1 make unit ARGS=tests/cli/test_refusals.py`.",
            "",
            "| broken | command `globalconv ...` | exit | line |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )
