"""A backbone that comes with weights beside a fresh rest: its learning rates, and the steps that leave it alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from globalconv.errors import InputError, Log
from globalconv.model.backbone import RES_5, Backbone
from globalconv.model.network import ImageNetwork
from globalconv.model.wrapped import unwrap
from globalconv.training.fine_tune_settings import FineTuneSettings
from globalconv.training.recipe import Recipe, StepSettings

PARTS = ("backbone", "encoder")
"""What the backbone of other people's networks may be called."""


def learning_rate_scales(network: nn.Module, settings: StepSettings) -> dict[int, float]:
    """Return id(parameter) -> its learning rate as a multiple of the schedule's, where that is not 1.

    Raises `InputError` where a setting asks for a backbone, or for levels, that the network does not have.
    """
    tuning = _of(settings)
    if (tuning.backbone_lr_scale, tuning.layer_decay) == (1.0, 1.0):
        return {}
    if tuning.layer_decay == 1.0:
        return {id(parameter): tuning.backbone_lr_scale for parameter in find_backbone(network, tuning).parameters()}
    backbone = _named_part(network)
    if not isinstance(backbone, Backbone):
        raise InputError(
            f"`optim.layer_decay` {tuning.layer_decay}: levels are known of GlobalConvNet's own backbone only; leave it"
            f" at 1.0 for {_class_name(network)}"
        )
    return {
        id(parameter): scale
        for parameter, level in backbone.parameter_levels(f"`optim.layer_decay` {tuning.layer_decay}", 1).items()
        if (scale := tuning.backbone_lr_scale * tuning.layer_decay ** (RES_5 - level)) != 1.0
    }


def find_backbone(network: nn.Module, tuning: FineTuneSettings) -> nn.Module:
    """Return the part of `network` that is its backbone: of another's, the one named `backbone` or `encoder`.

    `InputError` names the setting that asks for it where there is none.
    """
    part = _named_part(network)
    if part is None:
        scale, steps = tuning.backbone_lr_scale, tuning.freeze_steps
        setting, off = (f"`optim.freeze_steps` {steps}", 0) if scale == 1 else (f"`optim.backbone_lr_scale` {scale}", 1)
        raise InputError(
            f"{setting}: {_class_name(network)} has no part with weights named {' or '.join(PARTS)}; name it so, or"
            f" set it to {off}"
        )
    return part


def resting_parameters(network: nn.Module, settings: StepSettings, steps: int) -> list[nn.Parameter]:
    """Return the parameters that none of the first `steps` steps has changed."""
    tuning = _of(settings)
    return list(find_backbone(network, tuning).parameters()) if 0 < steps <= tuning.freeze_steps else []


@dataclass(frozen=True)
class FrozenStart:
    """The first steps of a training, which leave the backbone as it is: a function of the step alone."""

    steps: int
    backbone: nn.Module
    parameters: Sequence[nn.Parameter]
    """Those of the backbone that learn once it does."""
    processes: int
    """Several need every gradient that they have agreed to exchange: it is computed, and dropped."""

    def begin_step(self, step: int) -> None:
        """Set the mode of the backbone and whether gradients of it are computed, for step 0, 1, ..."""
        learns = step >= self.steps
        self.backbone.train(learns)
        for parameter in self.parameters:
            parameter.requires_grad_(learns or self.processes > 1)

    def drop_gradients(self, step: int) -> None:
        """Let the optimiser see no gradient of a backbone that does not learn yet, so that it leaves it alone."""
        if step < self.steps:
            for parameter in self.parameters:
                parameter.grad = None


def frozen_start(network: nn.Module, settings: StepSettings, processes: int) -> FrozenStart | None:
    """Return the frozen start of a training of `network`, whose parameters that learn are trainable; None without."""
    tuning = _of(settings)
    if not tuning.freeze_steps:
        return None
    backbone = find_backbone(network, tuning)
    learning = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    return FrozenStart(tuning.freeze_steps, backbone, learning, processes)


def log_fine_tuning(recipe: Recipe, has_weights: bool, log: Log) -> None:
    """Log in one line what is special about the backbone's training, if anything, and what is odd about it."""
    tuning, drop_path, stages = recipe.optim, recipe.model.drop_path, recipe.model.frozen_stages
    facts = {
        f"kept as loaded up to res-{stages + 1}": stages > 0,
        f"learning rate x {tuning.backbone_lr_scale:g}": tuning.backbone_lr_scale != 1,
        f"layer decay {tuning.layer_decay:g}": tuning.layer_decay != 1,
        f"frozen for {tuning.freeze_steps} steps": tuning.freeze_steps > 0,
        f"drop path {drop_path:g}": drop_path > 0,
    }
    if any(facts.values()):
        log(f"backbone    {', '.join(fact for fact, holds in facts.items() if holds)}")
    if tuning.freeze_steps and not has_weights:
        log(
            f"warning     `optim.freeze_steps` {tuning.freeze_steps} keeps a backbone at its random weights; give"
            " `model.backbone_weights`, or `init_from`, or set it to 0"
        )


def _of(settings: StepSettings) -> FineTuneSettings:
    return settings if isinstance(settings, FineTuneSettings) else FineTuneSettings()


def _named_part(network: nn.Module) -> nn.Module | None:
    """Return the first of `PARTS` that has weights."""
    whole = unwrap(network) if isinstance(network, ImageNetwork) else network
    named = [getattr(whole, name, None) for name in PARTS]
    return next((part for part in named if isinstance(part, nn.Module) and list(part.parameters())), None)


def _class_name(network: nn.Module) -> str:
    return type(unwrap(network) if isinstance(network, ImageNetwork) else network).__name__
