"""The settings of a search for the parameters of a CRF. Imports nothing that takes time."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import tyro

from globalconv.errors import InputError
from globalconv.infer.inference_settings import PLAIN, InferenceSettings


@dataclass(frozen=True)
class ParameterGrid:
    """The values that are tried, all with all. The defaults are DeepLab's (Chen et al., arXiv:1606.00915, 4.1.1)."""

    appearance_weight: tuple[float, ...] = (3, 4, 5, 6)
    """Costs of different classes at near pixels of similar colours."""
    appearance_xy: tuple[float, ...] = (30, 40, 50, 60, 70, 80, 90, 100)
    """How far "near" reaches, in pixels."""
    appearance_rgb: tuple[float, ...] = (3, 4, 5, 6)
    """How different "similar" colours may be, of 255."""
    smoothness_weight: tuple[float, ...] = (3,)
    """Costs of different classes at near pixels of any colour."""
    smoothness_xy: tuple[float, ...] = (3,)
    """How far "near" reaches there, in pixels."""
    iterations: int = 10
    """Mean-field updates of every one of them."""

    def __post_init__(self) -> None:
        for name in self.axes():
            if not getattr(self, name):
                raise InputError(f"`{name}`: give at least one value")

    def axes(self) -> dict[str, tuple[float, ...]]:
        """Return the values of every parameter that can have several, sorted."""
        return {f.name: tuple(sorted(set(getattr(self, f.name)))) for f in fields(self) if f.name != "iterations"}


@dataclass(frozen=True)
class SearchSettings:
    """Everything that the result of a search depends on, besides the network and the data."""

    split: str | None = None
    """Split to search on, and unless told otherwise to report on; by default that of the training's validation."""
    layout: str | None = None
    """Layout of the data (docs/data.md); recognised where not given."""
    report_split: str | None = None
    """Split to report on; by default the split is halved."""
    report_data: Path | None = None
    """Root of another data set to report on."""
    group_by: str | None = None
    """Regular expression, found in the name of every image (its path without suffix): images for which it matches the
    same text (of its first group in parentheses, if it has one) stay in one half. By default images of CamVid are
    grouped by clip, any others stand for themselves."""
    images: int = 100
    """Most images to search on, evenly spread; the report takes all of its part."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Arithmetic of the network."""
    grid: tyro.conf.OmitArgPrefixes[ParameterGrid] = field(default_factory=ParameterGrid)
    inference: tyro.conf.OmitArgPrefixes[InferenceSettings] = PLAIN

    def __post_init__(self) -> None:
        if self.images < 1:
            raise InputError(f"`images` {self.images}: give at least 1")
        if self.inference.crf is not None:
            raise InputError(f"`crf` {self.inference.crf}: is what the search finds; leave it out")

    def to_json(self) -> dict[str, Any]:
        """Return all settings as JSON values; of the inference, those that differ from the plain network."""
        own = {name: value for name, value in asdict(self).items() if name not in ("grid", "inference", "report_data")}
        data = None if self.report_data is None else str(self.report_data)
        grid = {**self.grid.axes(), "iterations": self.grid.iterations}
        return {**own, "report_data": data, "grid": grid, "inference": self.inference.changes()}


SEARCH = SearchSettings()
"""DeepLab's search of the training's validation split."""
