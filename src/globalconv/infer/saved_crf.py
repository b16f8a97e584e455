"""A DenseCRF by the value of the setting `crf`: a published setting, or the file of a `globalconv crf-search`."""

import json
import warnings
from pathlib import Path
from typing import Any, Final

from globalconv.crf.dense import PRESETS, DenseCRF
from globalconv.errors import InputError, suggest
from globalconv.runtime.text import one_line

PARAMETERS = (
    "iterations", "appearance_weight", "appearance_xy", "appearance_rgb", "smoothness_weight", "smoothness_xy",
)  # fmt: skip
"""The fields of a DenseCRF that its file holds."""

USE: Final = "use it"
"""The verdict of a search whose CRF improves the score for sure."""


def crf_from(text: str) -> DenseCRF:
    """Return the CRF that `text` names: one of `PRESETS`, or the path of a `crf.json`.

    Warns where the search that wrote the file has not shown a gain. Raises `InputError` for anything else.
    """
    if text in PRESETS:
        return DenseCRF.preset(text)
    path = Path(text)
    if not path.is_file():
        raise InputError(
            f"`crf` {text}: is neither a published setting nor the file of a search; {suggest(text, PRESETS)}"
        )
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        parameters, verdict = result["parameters"], result["verdict"]
        crf = DenseCRF(**{name: parameters[name] for name in PARAMETERS})
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:  # an InputError is a ValueError
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else one_line(error)
        raise InputError(f"`crf` {path}: is not what globalconv crf-search writes ({reason})") from error
    if verdict != USE:
        warnings.warn(f"{path}: the search that found this CRF says: {one_line(verdict)}", stacklevel=2)
    return crf


def parameters_of(crf: DenseCRF) -> dict[str, Any]:
    """Return the fields that `crf_from` reads."""
    return {name: getattr(crf, name) for name in PARAMETERS}
