"""Data sets in layouts that are not read: what they look like, and what to do with each so that it can be read.

Each sign is looked for by names, and where names say too little, in the first file of a kind.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from globalconv.data.file_names import find_subfolder, is_hidden, list_subfolders
from globalconv.data.suffixes import is_image
from globalconv.errors import InputError

_AS_COCO = "export it as COCO (JSON with outlines) from the tool that drew it"
_LIST = "write a list file train.txt at the root, an 'image label' pair a line"
_NO_BOXES = "boxes are no masks: draw outlines, or make masks from them, and export those as COCO"
_YOLO_LINE = re.compile(r"\d+(\s+[-+.\deE]+){4,}\s*")

_MOST_FILES, _MOST_BYTES = 4, 1 << 16
"""How many files of a kind are looked into, and how much of each."""


@dataclass(frozen=True)
class Foreign:
    """What a data set looks like: its kind, the files that show it, and what to do."""

    kind: str
    signs: str
    remedy: str


def explain_yolo(root: Path) -> InputError | None:
    """Return that the data set at `root` is YOLO's, if it is."""
    return _explain(root, _find_yolo)


def explain_foreign(root: Path) -> InputError | None:
    """Return which of the other layouts that are known and not read the data set at `root` is in, if any."""
    return _explain(
        root,
        _find_by_folders,
        _find_by_files,
        _find_by_json,
        _find_by_xml,
        _find_masks_beside_images,
        _find_table,
        _find_images,
    )


def _explain(root: Path, *finders: Callable[[Path], Foreign | None]) -> InputError | None:
    inside = list_subfolders(root)
    for folder in (root, *(inside if len(inside) == 1 else ())):  # or in the one folder that holds everything
        for find in finders:
            if (found := find(folder)) is not None:
                return InputError(
                    f"{folder}: looks like {found.kind} ({found.signs}), which is not read; {found.remedy}"
                )
    return None


def find_yolo_labels(folder: Path) -> Path | None:
    """Return a text file below `folder` that holds YOLO's lines, a class and coordinates, if one of the first does."""
    for file in _first_files(folder, "*.txt", "*/*.txt"):
        lines = [line for line in _begin(file).splitlines()[:8] if line.strip()]
        if lines and all(map(_YOLO_LINE.fullmatch, lines)):
            return file
    return None


def _find_yolo(root: Path) -> Foreign | None:
    declared = next(_first_files(root, "data.y*ml", "dataset.y*ml", "*.y*ml"), None)
    declared = declared if declared is not None and re.search(r"(?m)^\s*(names|nc)\s*:", _begin(declared)) else None
    places = [root / "labels", *(child / "labels" for child in list_subfolders(root)), root, *list_subfolders(root)]
    file = next((file for place in places if (file := find_yolo_labels(place)) is not None), None)
    if file is None:
        return Foreign("YOLO", declared.name, f"{_AS_COCO} (Roboflow: COCO Segmentation)") if declared else None
    signs = (f"{declared.name}, " if declared else "") + f"{file.parent.relative_to(root).as_posix()}/*.txt"
    boxes = all(len(line.split()) == 5 for line in _begin(file).splitlines()[:8] if line.strip())
    if boxes:
        return Foreign("YOLO with boxes", signs, _NO_BOXES)
    return Foreign("a YOLO segmentation folder", signs, f"{_AS_COCO} (Roboflow: COCO Segmentation)")


_BY_FOLDERS = (
    ("img_dir", "ann_dir", "MMSegmentation's layout", "rename img_dir/ to images/ and ann_dir/ to masks/"),
    ("imagesTr", "labelsTr", "nnU-Net's layout", f"save the slices as PNG and {_LIST}"),
    ("images", "annotations", "ADE20K's layout", "rename annotations/ to masks/, and list the classes in classes.json"),
    ("training/image_2", "training/semantic", "KITTI's layout", _LIST),
    ("training/image_2", "training/label_2", "KITTI's layout with boxes", _NO_BOXES),
    ("training/images", "training/v2.0", "Mapillary Vistas", _LIST),
    ("training/images", "training/v1.2", "Mapillary Vistas", _LIST),
)

_IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "rgb", "input", "inputs", "x", "photos", "pictures")
_MASK_FOLDERS = (
    "labels", "label", "masks", "mask", "annotations", "annotation", "segmentation", "segmentations", "gt", "target",
    "targets", "groundtruth", "ground_truth", "y", "semantic", "labelids", "segmentationclass", "output",
)  # fmt: skip


def _find_by_folders(root: Path) -> Foreign | None:
    for image_folder, mask_folder, kind, remedy in _BY_FOLDERS:
        if (root / image_folder).is_dir() and (root / mask_folder).is_dir():
            texts = (
                mask_folder == "training/label_2" or image_folder == "imagesTr"
            )  # of which the images may be volumes
            if texts or _holds_images(root / mask_folder):
                return Foreign(kind, f"{image_folder}/ beside {mask_folder}/", remedy)
    for folder in (root, *list_subfolders(root)):
        images = next((sub for name in _IMAGE_FOLDERS if (sub := find_subfolder(folder, name)) is not None), None)
        masks = next((sub for name in _MASK_FOLDERS if (sub := find_subfolder(folder, name)) is not None), None)
        if images is not None and masks is not None and _holds_images(images) and _holds_images(masks):
            names = f"{images.relative_to(root).as_posix()}/ beside {masks.relative_to(root).as_posix()}/"
            remedy = f"rename {images.name}/ to images/ and {masks.name}/ to masks/, or {_LIST}"
            return Foreign("folders of images and masks under other names", names, remedy)
    return None


_BY_FILES = (
    ("*.parquet", "a data set in Parquet, as Hugging Face's", f"save images and masks as PNG files and {_LIST}"),
    ("data/*.parquet", "a data set in Parquet, as Hugging Face's", f"save images and masks as PNG files and {_LIST}"),
    ("*.arrow", "a data set in Arrow, as Hugging Face's", f"save images and masks as PNG files and {_LIST}"),
    ("*/*.arrow", "a data set in Arrow, as Hugging Face's", f"save images and masks as PNG files and {_LIST}"),
    ("*.tfrecord*", "TFRecords", f"save images and masks as PNG files and {_LIST}"),
    ("*/*.tfrecord*", "TFRecords", f"save images and masks as PNG files and {_LIST}"),
    ("*.ndjson", "an export of Labelbox", "export its masks as PNG files, or as COCO"),
    ("*task-*-annotation-*-tag-*.png", "masks of Label Studio's brush", f"join those of each image and {_LIST}"),
    ("*/*task-*-annotation-*-tag-*.png", "masks of Label Studio's brush", f"join those of each image and {_LIST}"),
    ("*.npz", "arrays of numpy", f"save images and masks as PNG files and {_LIST}"),
    ("*.h5", "arrays in HDF5", f"save images and masks as PNG files and {_LIST}"),
    ("*/_classes.csv", "Roboflow's masks beside images", f"{_LIST}, and list the classes in classes.csv"),
)  # fmt: skip


def _find_by_files(root: Path) -> Foreign | None:
    for pattern, kind, remedy in _BY_FILES:
        if (file := next(_first_files(root, pattern), None)) is not None:
            return Foreign(kind, file.relative_to(root).as_posix(), remedy)
    return None


def _find_by_json(root: Path) -> Foreign | None:
    for file in _first_files(root, "*.json", "*/*.json", "*/ann/*.json", "*/*/*.json"):
        text = _begin(file)
        kind = next((kind for pattern, kind in _JSON_FIELDS if re.search(pattern, text, re.DOTALL)), None)
        if kind is not None:
            return Foreign(kind, file.relative_to(root).as_posix(), _AS_COCO)
    return None


_JSON_FIELDS = (
    (r'"_via_(img_metadata|settings)"|"region_attributes"', "a project of the VGG Image Annotator (VIA)"),
    (r'"classTitle"|"projectType"', "a project of Supervisely"),
    (r'"original_width"|"completed_by"|"annotation_id"|"lead_time"', "an export of Label Studio"),
    (r'"data_row"|"DataRow ID"|"Labeled Data"', "an export of Labelbox"),
    (r'"segments_info"', "COCO's panoptic annotations"),
    (r'"dataset_id".*"item"|"item".*"slots"', "an export of V7 Darwin"),
    (r'"media_type"|"dm_format_version"', "Datumaro's format"),
    (r'"imgHeight".*"polygon"', "Cityscapes' polygons"),
    (r'"categories".*"images"|"images".*"categories"', "COCO, elsewhere than annotations/*.json or at the root"),
)


def _find_by_xml(root: Path) -> Foreign | None:
    for file in _first_files(root, "*.xml", "*/*.xml", "*/*/*.xml"):
        text, signs = _begin(file), file.relative_to(root).as_posix()
        if "<annotations" in text:
            return Foreign("an export of CVAT", signs, "call the file annotations.xml, at the root")
        if "<annotation" in text:
            outlines = "<polygon" in text
            kind = "annotations of LabelMe's old web page" if outlines else "VOC's boxes"
            return Foreign(kind, signs, _AS_COCO if outlines else _NO_BOXES)
    return None


def _find_masks_beside_images(root: Path) -> Foreign | None:
    """Find masks with their images in one folder: a.jpg, a_mask.png."""
    for folder in (root, *list_subfolders(root)):
        names = [file.stem for file in itertools.islice(_first_files(folder, "*", most=1000), 1000) if is_image(file)]
        stems = set(names)
        for name in names:
            if (match := re.fullmatch(r"(.+?)[-_. ]?(mask|label|labels|seg|gt|matte)", name, re.IGNORECASE)) and match[
                1
            ] in stems:
                return Foreign("masks beside their images", f"{match[1]} and {name}", _LIST)
    return None


def _find_table(root: Path) -> Foreign | None:
    """Find a table of files."""
    for file in _first_files(root, "*.csv", "*.tsv", "*/*.csv"):
        if re.search(r"\.(png|jpe?g|tiff?|bmp)\b", _begin(file), re.IGNORECASE):
            return Foreign("a table of files", file.relative_to(root).as_posix(), f"{_LIST}, separated by a tab")
    return None


def _find_images(root: Path) -> Foreign | None:
    """Find images alone."""
    folders = [child.name for child in list_subfolders(root) if _holds_images(child)]
    if folders or next((file for file in _first_files(root, "*", most=100) if is_image(file)), None) is not None:
        signs = ", ".join(f"{name}/" for name in folders[:3]) or "at the root"
        remedy = "put masks into masks/ and the images into images/, of one name each, or draw annotations"
        return Foreign("images without masks or annotations", signs, remedy)
    return None


def _holds_images(folder: Path) -> bool:
    """Return whether there is an image in `folder` or up to two folders below."""
    return any(map(is_image, _first_files(folder, "*", "*/*", "*/*/*", most=100)))


def _first_files(folder: Path, *patterns: str, most: int = _MOST_FILES) -> Iterator[Path]:
    """Yield the first files in `folder` that fit each pattern, in the order of the disk, without hidden ones."""
    for pattern in patterns:
        matches = (path for path in folder.glob(pattern) if not any(map(is_hidden, path.relative_to(folder).parts)))
        yield from itertools.islice((path for path in matches if path.is_file()), most)


def _begin(file: Path) -> str:
    """Return the beginning of a text file; nothing of one that cannot be read."""
    try:
        with file.open("rb") as stream:
            return stream.read(_MOST_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return ""
