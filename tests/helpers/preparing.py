"""Official archives in miniature, and the table of packages that describes them instead of the official ones."""

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from helpers.archives import tar_of, zip_of
from helpers.official import cityscapes_tree, coco_tree, imagenet_tree, sbd_tree, voc_tree
from scipy.io import savemat

from globalconv.data.download.catalogue import OFFICIAL_DATASETS, OfficialDataset, Package

Tree = dict[str, bytes]


def tree_of(root: Path) -> Tree:
    """Return all files below a folder, by relative path."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def official_archives(name: str, scratch: Path) -> tuple[dict[str, bytes], Tree]:
    """Return a data set's archives in miniature (file name -> content), and the tree that they make below --out."""
    builders = {"voc": voc_tree, "sbd": sbd_tree, "coco": coco_tree, "cityscapes": cityscapes_tree}
    {**builders, "imagenet": imagenet_tree}[name](scratch)
    tree = tree_of(scratch)
    if name == "voc":
        test = {path: content for path, content in tree.items() if "2008_1000" in path or path.endswith("/test.txt")}
        rest = {path: content for path, content in tree.items() if path not in test}
        return {"VOCtrainval_11-May-2012.tar": tar_of(rest), "VOC2012test.tar": tar_of(test)}, tree
    if name == "sbd":
        code = {"benchmark_RELEASE/benchmark_code_RELEASE/cp_src/makefile": b"all:"}
        return {"benchmark.tgz": tar_of({**tree, **code}, "w:gz")}, tree
    if name == "imagenet":
        return _imagenet(tree)
    inner = {path.removeprefix(f"{name}/"): content for path, content in tree.items()}
    archives = {package.file: zip_of(_members(package, inner)) for package in OFFICIAL_DATASETS[name].packages}
    return {file: content for file, content in archives.items() if len(content) > 200}, tree


def _members(package: Package, inner: Tree) -> Tree:
    """Return what one ZIP file of COCO or Cityscapes holds, with the licence that each of them repeats."""
    coarse, extra = package.name == "gtCoarse", package.name == "trainextra"
    kept = {path: content for path, content in inner.items() if path.startswith(package.keeps)}
    members = {path: content for path, content in kept.items() if coarse or ("/train_extra/" in path) == extra}
    return {**members, "license.txt": package.name.encode()} if members else {}


def _imagenet(tree: Tree) -> tuple[dict[str, bytes], Tree]:
    """Return ImageNet's three archives: an archive per class, a heap, and the devkit that sorts it."""
    classes = sorted({path.split("/")[2] for path in tree})
    tapes = {
        f"{synset}.tar": tar_of({path.split("/")[-1]: tree[path] for path in tree if f"/train/{synset}/" in path})
        for synset in classes
    }
    images = [path for path in tree if "/val/" in path]
    names = {path: f"ILSVRC2012_val_{number:08}.JPEG" for number, path in enumerate(images, start=1)}
    sorted_tree = {
        **{path: content for path, content in tree.items() if "/train/" in path},
        **{f"{path.rsplit('/', 1)[0]}/{names[path]}": tree[path] for path in images},
    }
    rows = [(number, synset, "words", "gloss", 0) for number, synset in enumerate(classes, start=1)]
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
    meta = io.BytesIO()
    savemat(meta, {"synsets": np.array([*rows, (4, "n00001740", "entity", "gloss", 3)], kinds)[:, None]})
    truth = "".join(f"{1 + classes.index(path.split('/')[2])}\n" for path in images)
    devkit = {
        "ILSVRC2012_devkit_t12/data/meta.mat": meta.getvalue(),
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": truth.encode(),
    }
    archives = {
        "ILSVRC2012_devkit_t12.tar.gz": tar_of(devkit, "w:gz"),
        "ILSVRC2012_img_val.tar": tar_of({names[path]: tree[path] for path in images}),
        "ILSVRC2012_img_train.tar": tar_of(tapes),
    }
    return archives, {**sorted_tree, **{f"imagenet/{path}": content for path, content in devkit.items()}}


def table_for(name: str, archives: dict[str, bytes], tree: Tree) -> OfficialDataset:
    """Return the description of a data set with sizes, digests and counts of its miniature."""
    data_set = OFFICIAL_DATASETS[name]
    inner = [path.removeprefix(f"{data_set.folder}/") for path in tree]
    packages = []
    for package in data_set.packages:
        content = archives.get(package.file, b"")
        digest = f"md5:{hashlib.md5(content).hexdigest()}" if package.digest else ""
        paths = _names(content) if name == "voc" else inner
        holds = tuple((glob, max(1, sum(Path(path).match(glob) for path in paths))) for glob, _ in package.holds)
        size = None if package.size is None else len(content)
        packages.append(
            replace(package, size=size, digest=digest, holds=holds, unpacked=len(content) * 10, files=len(tree) + 10)
        )
    return replace(data_set, packages=tuple(packages))


def _names(content: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tape:
        return tape.getnames()
