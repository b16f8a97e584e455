"""The official data sets: their archives, with address, size, digest and contents of each.

Digests and sizes: VOC and SBD as in torchvision's `voc.py` and `sbd.py`, COCO as TensorFlow Datasets recorded them,
ImageNet as in torchvision's `imagenet.py`. Nobody publishes digests of Cityscapes' archives outside its own pages, so
those are only tested for damage and for what they hold.
"""

from dataclasses import dataclass

MB, GB = 10**6, 10**9


@dataclass(frozen=True)
class Package:
    """One archive of a data set."""

    name: str
    """What `packages` calls it."""
    file: str
    """The archive's official name."""
    size: int | None
    """Bytes of the archive, None where that is not known for certain."""
    digest: str
    """`md5:...` or `sha256:...`, empty where none is published."""
    keeps: str
    """Members whose path begins so are unpacked. Others, such as a licence in every archive, are left out."""
    unpacked: int
    """Bytes on disk, about."""
    files: int
    """Number of files, about."""
    holds: tuple[tuple[str, int], ...]
    """Globs below the data set's folder, and how many files each must at least match once the package is unpacked."""
    address: str = ""
    """The address from which it can be downloaded without an account; empty if there is none."""
    nested: bool = False
    """It is an archive of archives, each of which becomes a folder of its name in `keeps`."""

    @property
    def title(self) -> str:
        """Name and size, for messages."""
        return self.file if self.size is None else f"{self.file} ({format_bytes(self.size)})"


@dataclass(frozen=True)
class OfficialDataset:
    """A data set: its archives, and the folder below `out` in which they are unpacked."""

    packages: tuple[Package, ...]
    usual: tuple[str, ...]
    """The packages that are prepared by default."""
    folder: str
    root: str
    """The root of the data set below `out`, as `data` takes it."""
    account: str = ""
    """How to get the packages that have no address."""


def format_bytes(size: float) -> str:
    """Return a number of bytes as 3.1 GB or 250 MB."""
    return f"{size / GB:.3g} GB" if size >= GB else f"{size / MB:.3g} MB"


_VOC = OfficialDataset(
    (
        Package(
            "trainval", "VOCtrainval_11-May-2012.tar", 1_999_639_040, "md5:6cd6e144f989b92b3379bac3b3de84fd",
            "VOCdevkit/VOC2012/", 2 * GB, 40_000,
            (
                ("VOCdevkit/VOC2012/JPEGImages/*.jpg", 17_125),
                ("VOCdevkit/VOC2012/SegmentationClass/*.png", 2_913),
                ("VOCdevkit/VOC2012/ImageSets/Segmentation/train*.txt", 2),
                ("VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt", 1),
            ),
            "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
        ),
        Package(
            "test", "VOC2012test.tar", None, "", "VOCdevkit/VOC2012/", 2 * GB, 40_000,
            (
                ("VOCdevkit/VOC2012/ImageSets/Segmentation/test.txt", 1),
                ("VOCdevkit/VOC2012/JPEGImages/*.jpg", 1_456),
            ),
        ),
    ),
    ("trainval",), "", "VOCdevkit/VOC2012",
    "register at the evaluation server, http://host.robots.ox.ac.uk:8080, and download the VOC2012 test data there",
)  # fmt: skip

_SBD = OfficialDataset(
    (
        Package(
            "sbd", "benchmark.tgz", 1_419_539_633, "md5:82b4d87ceb2ed10f6038a1cba92111cb",
            "benchmark_RELEASE/dataset/", 2 * GB, 40_000,
            (
                ("benchmark_RELEASE/dataset/img/*.jpg", 11_355),
                ("benchmark_RELEASE/dataset/cls/*.mat", 11_355),
                ("benchmark_RELEASE/dataset/train.txt", 1),
                ("benchmark_RELEASE/dataset/val.txt", 1),
            ),
            "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
        ),
    ),
    ("sbd",), "", "benchmark_RELEASE/dataset",
)  # fmt: skip


def _coco_images(split: str, size: int, sha256: str, files: int) -> Package:
    file, holds = f"{split}.zip", ((f"{split}/*.jpg", files),)
    address = f"http://images.cocodataset.org/zips/{file}"
    return Package(split, file, size, f"sha256:{sha256}", f"{split}/", size, files, holds, address)


def _coco_annotations(year: int, size: int, sha256: str) -> Package:
    file = f"annotations_trainval{year}.zip"
    holds = tuple((f"annotations/instances_{split}{year}.json", 1) for split in ("train", "val"))
    address = f"http://images.cocodataset.org/annotations/{file}"
    return Package(f"annotations{year}", file, size, f"sha256:{sha256}", "annotations/", GB, 6, holds, address)


_COCO = OfficialDataset(
    (
        _coco_images(
            "train2017", 19_336_861_798, "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929", 118_287
        ),
        _coco_images(
            "val2017", 815_585_330, "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05", 5_000
        ),
        _coco_annotations(2017, 252_907_541, "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268"),
        _coco_images(
            "train2014", 13_510_573_713, "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775", 82_783
        ),
        _coco_images(
            "val2014", 6_645_013_297, "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0", 40_504
        ),
        _coco_annotations(2014, 252_872_794, "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009"),
    ),
    ("train2017", "val2017", "annotations2017"), "coco", "coco",
)  # fmt: skip


def _per_split(pattern: str) -> tuple[tuple[str, int], ...]:
    counts = {"train": 2_975, "val": 500, "test": 1_525}
    return tuple((pattern.format(split), count) for split, count in counts.items())


_CITYSCAPES = OfficialDataset(
    (
        Package(
            "leftImg8bit", "leftImg8bit_trainvaltest.zip", None, "", "leftImg8bit/", 12 * GB, 5_000,
            _per_split("leftImg8bit/{}/*/*_leftImg8bit.png"),
        ),
        Package(
            "gtFine", "gtFine_trainvaltest.zip", None, "", "gtFine/", 2 * GB, 20_000,
            _per_split("gtFine/{}/*/*_gtFine_labelIds.png"),
        ),
        Package(
            "trainextra", "leftImg8bit_trainextra.zip", None, "", "leftImg8bit/", 47 * GB, 20_000,
            (("leftImg8bit/train_extra/*/*_leftImg8bit.png", 19_998),),
        ),
        Package(
            "gtCoarse", "gtCoarse.zip", None, "", "gtCoarse/", 6 * GB, 95_000,
            (
                ("gtCoarse/train_extra/*/*_gtCoarse_labelIds.png", 19_998),
                ("gtCoarse/train/*/*_gtCoarse_labelIds.png", 2_975),
            ),
        ),
    ),
    ("leftImg8bit", "gtFine"), "cityscapes", "cityscapes",
    "register at https://www.cityscapes-dataset.com/register/ and download from"
    " https://www.cityscapes-dataset.com/downloads/",
)  # fmt: skip

_IMAGENET = OfficialDataset(
    (
        Package(  # before val: it has the classes of the validation images
            "devkit", "ILSVRC2012_devkit_t12.tar.gz", None, "md5:fa75699e90414af021442c21a62c3abf",
            "ILSVRC2012_devkit_t12/", 10**8, 100,
            (
                ("ILSVRC2012_devkit_t12/data/meta.mat", 1),
                ("ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", 1),
            ),
        ),
        Package(
            "val", "ILSVRC2012_img_val.tar", 6_744_924_160, "md5:29b22e2961454d5413ddabcf34fc5622",
            "val/", 7 * GB, 50_000, (("val/n*/*.JPEG", 50_000),),
        ),
        Package(
            "train", "ILSVRC2012_img_train.tar", 147_897_477_120, "md5:1d675b47d978889d74fa0da5fadfb00e",
            "train/", 150 * GB, 1_281_167, (("train/n*/*.JPEG", 1_281_167),), nested=True,
        ),
    ),
    ("devkit", "val", "train"), "imagenet", "imagenet",
    "register at https://image-net.org/download.php, ask for access to ILSVRC2012 and download its task 1 and 2",
)  # fmt: skip

OFFICIAL_DATASETS = {"voc": _VOC, "sbd": _SBD, "coco": _COCO, "cityscapes": _CITYSCAPES, "imagenet": _IMAGENET}
"""The data sets that `globalconv data prepare` knows."""
