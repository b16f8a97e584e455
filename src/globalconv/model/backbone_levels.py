"""Which level of a backbone each of its parameters belongs to."""

from torch import nn

from globalconv.errors import InputError
from globalconv.model.backbone import STRIDES, Backbone

STEM, RES_5 = 0, len(STRIDES)
"""The first and the last level: 0 is what lies before res-2; res-2 .. res-5 are 1 .. 4."""


def parameter_levels(backbone: Backbone) -> dict[nn.Parameter, int]:
    """Return parameter -> level, `STEM` .. `RES_5`.

    A parameter belongs to the first level whose module, as timm declares it, it is registered in or before; what lies
    before res-2 ends with the last of timm's features of a finer stride, or where res-2 begins. `InputError` for a
    backbone that has no module of its own for each level (HRNet: its levels run side by side).
    """
    features = backbone.body.feature_info
    order = {name: position for position, (name, _) in enumerate(backbone.body.named_modules())}
    ends: list[int] = []
    for stride, module in zip(STRIDES, features.module_name(), strict=True):
        if (span := _span(module, order)) is None or (ends and span[1] <= ends[-1]):
            raise InputError(
                f"`optim.layer_decay`: backbone {backbone.name!r} has no part of its own for the level of stride"
                f" {stride}, so its levels have no order; leave it at 1"
            )
        if not ends:
            finer = [_span(info["module"], order) for info in features.info if info["reduction"] < STRIDES[0]]
            ends.append(max((found[1] for found in finer if found), default=span[0] - 1))
        ends.append(span[1])

    def level_of(position: int) -> int:
        return next((level for level, end in enumerate(ends) if position <= end), RES_5)

    return {parameter: level_of(order[name.rpartition(".")[0]]) for name, parameter in backbone.body.named_parameters()}


def _span(feature: str, order: dict[str, int]) -> tuple[int, int] | None:
    """Return the positions of the first and the last module inside a feature's; timm may join its name with "_"."""
    wanted = feature.replace(".", "_")
    owner = next((name for name in order if name.replace(".", "_") == wanted), None)
    if owner is None:
        return None
    inside = [position for name, position in order.items() if name == owner or name.startswith(f"{owner}.")]
    return min(inside), max(inside)
