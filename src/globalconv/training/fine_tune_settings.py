"""Settings of how a backbone that comes with weights learns beside the fresh rest of the network."""

from dataclasses import dataclass, field

from globalconv.errors import InputError


@dataclass(frozen=True)
class FineTuneSettings:
    """How the backbone learns (`globalconv.training.fine_tuning`, docs/training.md); by default, as the rest."""

    backbone_lr_scale: float = field(default=1.0, kw_only=True)  # callers give other settings by position
    """Learning rate of the backbone, as a multiple of that of the rest."""
    layer_decay: float = field(default=1.0, kw_only=True)
    """Factor from the learning rate of a level of the backbone to that of the one before it; res-5 has the whole."""
    freeze_steps: int = field(default=0, kw_only=True)
    """Steps at the start that keep the backbone as it was loaded."""


def check_fine_tuning(settings: FineTuneSettings) -> None:
    """Raise `InputError` for values that no training can use, by the name of their setting."""
    if not 0 < settings.backbone_lr_scale < float("inf"):
        raise InputError(f"`optim.backbone_lr_scale` {settings.backbone_lr_scale}: must be a positive number")
    if not 0 < settings.layer_decay <= 1:
        raise InputError(f"`optim.layer_decay` {settings.layer_decay}: must be above 0 and at most 1")
    if not settings.freeze_steps >= 0:
        raise InputError(f"`optim.freeze_steps` {settings.freeze_steps}: must be at least 0")
