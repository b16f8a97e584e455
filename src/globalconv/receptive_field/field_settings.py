"""Settings of `globalconv vrf`. The command line reads them, so nothing here imports torch."""

from dataclasses import dataclass
from typing import Any, Literal

from globalconv.errors import InputError


@dataclass(frozen=True)
class FieldSettings:
    """How the receptive fields of one pixel are measured (docs/receptive-fields.md)."""

    method: Literal["occlusion", "gradient"] = "occlusion"
    """occlusion: the valid receptive field (Zhou et al.), as in Figure 3; gradient: |gradient| of this one image."""
    threshold: float | None = None
    """Share of the largest value from which a pixel belongs to the field: 0.1 of occlusion, 0.0455 of gradients."""
    scales: tuple[float, ...] = (1.0,)
    """Sizes at which the networks see the image, a row for each: 1 2 shows the object at two scales."""
    occluder: int = 11
    """Side of an occluder in pixels."""
    occluders: int = 5000
    """About how many: the stride of their grid is chosen for it. Fewer are faster and coarser."""
    seed: int = 0
    """Of the random colours that fill the occluders."""
    batch_size: int = 16
    """Copies of the image that go through a network at once."""

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= 16 for scale in self.scales):
            raise InputError(f"`scales` {' '.join(map(str, self.scales))}: give factors above 0, at most 16")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise InputError(f"`threshold` {self.threshold}: give a share of the largest value, above 0 and at most 1")
        for field in ("occluder", "occluders", "batch_size"):
            if getattr(self, field) < 1:
                raise InputError(f"`{field}` {getattr(self, field)}: give at least 1")

    @property
    def least(self) -> float:
        """`threshold`, or the default of the method."""
        return self.threshold or (0.1 if self.method == "occlusion" else 0.0455)

    def to_json(self) -> dict[str, Any]:
        """Return the settings that the areas depend on."""
        values: dict[str, Any] = {"method": self.method, "threshold": self.least}
        if self.method == "occlusion":
            values |= {"occluder": self.occluder, "occluders": self.occluders, "seed": self.seed}
        return values


OCCLUSION = FieldSettings()
"""As in the paper's Figure 3."""
