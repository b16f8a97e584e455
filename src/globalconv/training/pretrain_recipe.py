"""The recipe of `globalconv pretrain`: the usual one for ImageNet."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from globalconv.data.augmentation import USUAL, CropSettings
from globalconv.errors import InputError
from globalconv.training.recipe import BaseRecipe, SampleSettings, StepSettings


@dataclass(frozen=True)
class ClassifierSettings:
    """The network that is pre-trained."""

    backbone: str = "resnet50_gcn"
    """Any timm model that can be a backbone of GlobalConvNet, or a resnetNN_gcn."""


@dataclass(frozen=True)
class PictureSettings(SampleSettings):
    """How pictures come to the network."""

    augmentation: CropSettings = USUAL
    batch_size: int = 256
    """Images per forward pass."""


@dataclass(frozen=True)
class PretrainOptim(StepSettings):
    """Optimiser, schedule and loss."""

    lr: float = 0.1
    """Peak learning rate; usual is 0.1 for 256 images a step, and in proportion for others (Goyal et al. 2017)."""
    weight_decay: float = 1e-4
    """Decay of the weights of convolutions and linear layers; biases and norms have none."""
    schedule: Literal["poly", "cosine", "constant"] = "cosine"
    """Decay of the learning rate to zero over the run, as a closed form of the step."""
    warmup_steps: int = 5000
    """Steps of linear rise before the schedule's own value is reached; one epoch of ImageNet."""
    label_smoothing: float = 0.1
    """Share of the target that is spread evenly over all classes (Szegedy et al. 2016); 0 = off."""


@dataclass(frozen=True)
class PretrainRecipe(BaseRecipe):
    """One pre-training of a backbone, completely."""

    verb: ClassVar[str] = "pretrain"
    model: ClassifierSettings = ClassifierSettings()
    data: PictureSettings = PictureSettings()
    optim: PretrainOptim = PretrainOptim()
    epochs: float = 90
    """Passes over the training split."""
    evaluate_every: int = 5000
    """Steps between evaluations on the validation split; the last step is always evaluated."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data.batch_size < 2:
            raise InputError(f"--data.batch-size {self.data.batch_size}: batch norm learns from at least 2 images")
        if not 0 <= self.optim.label_smoothing < 1:
            raise InputError(f"--optim.label-smoothing {self.optim.label_smoothing}: must be at least 0 and below 1")
