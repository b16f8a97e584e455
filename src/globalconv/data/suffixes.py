"""Which files of a folder are images: by their suffix, and for those of another suffix by their first bytes."""

from pathlib import Path

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .bmp .dib .tif .tiff .webp .avif .avifs .gif"
    " .jp2 .j2k .j2c .jpc .jpf .jpx .ppm .pgm .pbm .pnm .pfm .tga .icb .vda .pcx .sgi .bw .ras .dds .qoi".split()
)
"""Suffixes, in small letters, of the files that count as images when a folder is listed: raster images that Pillow
decodes by itself. Left out, though Pillow opens them: drawings (.eps, .wmf), icons and cursors, layered files (.psd),
animations, textures of games and data of science (.fits, .hdf)."""

SUFFIX_EXAMPLES = ".png, .jpg, .tif and other suffixes of images"
"""How messages name `IMAGE_SUFFIXES`."""

PHOTO_SUFFIXES = frozenset(
    ".heic .heif .hif .jxl .jxr .wdp .bpg .flif .raw .dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .orf .rw2 .raf .pef"
    " .srw .x3f .rwl .iiq .3fr .fff .erf .kdc .dcr .mrw .mos .gpr .geotiff".split()
)
"""Suffixes of photographs that are not read: those of telephones, raw ones of cameras."""

OTHER_IMAGE_SUFFIXES = PHOTO_SUFFIXES | frozenset(
    ".hdp .exr .hdr .dpx .cin .psd .psb .xcf .kra .ora .ico .icns .cur .svg .svgz .eps .ai .wmf .emf .xbm .xpm .pcd"
    " .npy .npz .dcm .dicom .nii .mha .mhd .nrrd .fit .fits .fts .ecw .sid .rgb .rgba .vst".split()
)
"""Suffixes of all images that are not read, so that they can be named."""

TEXT_SUFFIXES = frozenset(
    ".txt .json .jsonl .xml .csv .tsv .md .rst .yaml .yml .toml .ini .cfg .html .htm .css .js .py .ipynb .sh .log .pdf"
    " .doc .docx .xls .xlsx .ppt .pptx .zip .gz .tar .tgz .bz2 .xz .7z .rar .mp4 .mov .avi .mkv .mp3 .wav .db .sqlite"
    " .mat .pkl .h5 .hdf5 .pt .pth .onnx .safetensors .parquet .arrow .tfrecord .shp .shx .dbf .prj .geojson .kml .tfw"
    " .pgw .jgw .wld .ovr .cache .lock .tmp".split()
)
"""Suffixes of files that are no images, and are not opened to see."""

_SIGNATURES = (
    b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51",
    b"8BPS",
)  # fmt: skip
_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"hevc", b"mif1", b"msf1")


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def is_unread_image(path: Path) -> bool:
    """Return whether a file is an image that is not read: of another format, or of another suffix."""
    suffix = path.suffix.lower()
    if suffix in OTHER_IMAGE_SUFFIXES or path.name.lower().endswith(".nii.gz"):
        return True
    if suffix in IMAGE_SUFFIXES or suffix in TEXT_SUFFIXES or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    riff = start.startswith(b"RIFF") and start[8:12] == b"WEBP"
    bitmap = start.startswith(b"BM") and start[6:10] == b"\0\0\0\0"
    return start.startswith(_SIGNATURES) or (start[4:8] == b"ftyp" and start[8:12] in _BRANDS) or riff or bitmap
