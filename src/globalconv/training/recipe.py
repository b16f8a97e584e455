"""Recipes: every setting of a training, typed, frozen, saved beside its results.

A recipe is returned by a plain function (`globalconv.training.recipes`); the command line overrides any field by its
dotted name (`--optim.lr 0.02`), and the resolved recipe is written to the run folder as `recipe.json`. `Recipe` trains
a segmentation network, `StagedRecipe` is several of them in a row, each with a name, and `PretrainRecipe` pre-trains a
backbone. `BaseRecipe` and the settings without a task in their name are common to both kinds of training.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar, get_type_hints

from globalconv.data.class_weights import ClassWeighting
from globalconv.data.image_format import check_white_level
from globalconv.data.transform_settings import IMAGENET_AUGMENTATION, Augmentation, ClassificationAugmentation
from globalconv.errors import InputError, suggest
from globalconv.runtime.text import one_line
from globalconv.training.fine_tune_settings import FineTuneSettings, check_fine_tuning

FREE = ("data.workers", "device", "checkpoint_every")
"""Fields that a resumed run may change: they decide where and how the work is done, not its result."""

D = TypeVar("D")


@dataclass(frozen=True)
class SampleSettings:
    """How samples are batched and decoded."""

    batch_size: int = 8
    """Images per forward pass."""
    workers: int | None = None
    """Processes that decode samples; None takes half of the processor's cores, 0 decodes in the training process."""
    white_level: float | None = field(default=None, kw_only=True)  # callers give those below by position
    """The value that is white in images of more than 8 bits; None: decided from the data, and told (docs/data.md)."""


@dataclass(frozen=True)
class StepSettings:
    """Optimiser and schedule (`globalconv.training.optim`)."""

    algorithm: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.05
    """Peak learning rate, for a loss that is a mean over valid pixels or over images."""
    momentum: float = 0.9
    """Momentum of SGD; beta1 of AdamW."""
    nesterov: bool = False
    """Nesterov's form of the momentum (SGD only)."""
    weight_decay: float = 5e-4
    """Decay of the weights of convolutions and linear layers; biases and norms have none."""
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    """Decay of the learning rate to zero over the run, as a closed form of the step."""
    warmup_steps: int = 0
    """Steps of linear rise before the schedule's own value is reached."""
    clip_norm: float | None = None
    """Bound on the gradient's global norm; None does not clip."""
    accumulate: int = 1
    """Batches per step; the loss is that of one large batch."""
    ema_decay: float | None = None
    """Decay of the moving average of the weights that is evaluated and saved; None uses the weights themselves."""


@dataclass(frozen=True)
class BaseRecipe:
    """The settings that every kind of training has."""

    verb: ClassVar[str]
    """The command that such a recipe belongs to."""
    model: Any = None
    data: SampleSettings = SampleSettings()
    optim: StepSettings = StepSettings()
    epochs: float = 60
    """Passes over the training split."""
    steps: int | None = None
    """Steps of the optimiser; where given, it counts instead of `epochs`."""
    seed: int = 0
    """Seed of the initial weights, the order of the samples and their augmentation."""
    device: str = "auto"
    """auto, cpu, cuda, mps or cuda:N."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; auto is bfloat16 where the hardware has it natively."""
    channels_last: bool = True
    """Memory layout of the network; on a CPU about twice as fast as the other (docs/benchmarks.md)."""
    evaluate_every: int = 500
    """Steps between evaluations on the validation split; the last step is always evaluated."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    log_every: int = 10
    """Steps between lines of the log."""

    def __post_init__(self) -> None:
        """Refuse values that no training can use, by the name of their setting."""
        at_least = {
            "`data.batch_size`": (self.data.batch_size, 1),
            "`data.workers`": (self.data.workers or 0, 0),
            "`optim.accumulate`": (self.optim.accumulate, 1),
            "`optim.warmup_steps`": (self.optim.warmup_steps, 0),
            "`optim.weight_decay`": (self.optim.weight_decay, 0),
            "`evaluate_every`": (self.evaluate_every, 1),
            "`checkpoint_every`": (self.checkpoint_every, 1),
            "`log_every`": (self.log_every, 1),
            "`seed`": (self.seed, 0),
            "`steps`": (1 if self.steps is None else self.steps, 1),
        }
        for option, (value, least) in at_least.items():
            if not value >= least:
                raise InputError(f"{option} {value}: must be at least {least}")
        check_white_level("data.white_level", self.data.white_level)
        if self.seed >= 2**32:
            raise InputError(f"`seed` {self.seed}: must be below 2^32")
        clip = self.optim.clip_norm
        for option, number in {"`optim.lr`": self.optim.lr, "`epochs`": self.epochs, "`optim.clip_norm`": clip}.items():
            if number is not None and not 0 < number < float("inf"):
                raise InputError(f"{option} {number}: must be a positive number")
        for option, fraction in {
            "`optim.momentum`": self.optim.momentum,
            "`optim.ema_decay`": self.optim.ema_decay,
        }.items():
            if fraction is not None and not 0 <= fraction < 1:
                raise InputError(f"{option} {fraction}: must be at least 0 and below 1")
        if self.optim.nesterov and (self.optim.algorithm != "sgd" or self.optim.momentum == 0):
            raise InputError("`optim.nesterov`: is a form of SGD's momentum; use `optim.algorithm` sgd with a momentum")

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as nested dictionaries of JSON values."""
        return _plain(self)  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the recipe that `to_json` wrote; an unknown field is refused, naming the nearest."""
        return _build(cls, values, "")


@dataclass(frozen=True)
class ModelSettings:
    """The network: the arguments of `globalconv.GlobalConvNet`."""

    backbone: str = "resnet18"
    """Any timm model with features at strides 4, 8, 16 and 32."""
    kernel_size: tuple[int, ...] = (15,)
    """k of the heads: one odd number, or four (res-2 res-3 res-4 res-5)."""
    head: tuple[str, ...] = ("gcn",)
    """Head of Figure 4: gcn, pointwise, conv or stack; one, or four (res-2 .. res-5)."""
    stack_width: int | tuple[int, int, int, int] | None = None
    """Channels m inside head "stack"; one, or four (res-2 .. res-5); None takes the level's own."""
    head_width: int | None = None
    """Channels of every head before a batch norm, a ReLU and a 1x1 convolution to the classes; None: none of these, as
    in the paper. With decoder "features" the channels that are summed; None takes 128 (docs/training.md)."""
    boundary_refinement: bool = True
    """The nine Boundary Refinement blocks."""
    upsample: Literal["deconv", "bilinear"] = "deconv"
    """Learned x2 deconvolutions that start bilinear, or fixed bilinear interpolation; of decoder "scores"."""
    backbone_weights: str | None = None
    """None or none (from scratch), "imagenet", a timm tag, a local file, or hf://USER/NAME; docs/pretraining.md says
    where the weights of the second and third are looked for."""
    backbone_norm: Literal["train", "frozen"] = "train"
    """Batch norm of the backbone: learnt, or fixed at the statistics of the loaded weights."""
    decoder: Literal["scores", "features"] = field(default="scores", kw_only=True)
    """What is summed from coarse to fine: the scores of the classes (the paper), or features (docs/training.md)."""
    frozen_stages: int = field(default=0, kw_only=True)
    """Levels of the backbone that stay as they were loaded: 1 is all up to res-2, 4 is all of it; 0 is none."""
    drop_path: float = field(default=0.0, kw_only=True)
    """Share of the images for which the last residual branch of the backbone is left out in a step, those before it
    less (stochastic depth); 0 = off."""

    def __post_init__(self) -> None:
        if self.backbone_weights == "none":  # one value for one thing, in recipe.json and where recipes are compared
            object.__setattr__(self, "backbone_weights", None)

    def architecture(self) -> dict[str, Any]:
        """Return the arguments of `globalconv.GlobalConvNet` that shape the network of a given number of classes."""

        def one_or_four(values: tuple[Any, ...]) -> Any:
            return values[0] if len(values) == 1 else values

        return {
            "backbone": self.backbone,
            "kernel_size": one_or_four(self.kernel_size),
            "head": one_or_four(self.head),
            "stack_width": self.stack_width,
            "head_width": self.head_width,
            "boundary_refinement": self.boundary_refinement,
            "upsample": self.upsample,
            "decoder": self.decoder,
        }


@dataclass(frozen=True)
class DataSettings(SampleSettings):
    """The splits to train and evaluate on, and the augmentation of their samples."""

    layout: str | None = None
    """Layout of the data (docs/data.md); None recognises it."""
    train_split: str = "train"
    """Split to train on; in list-file layouts the list's path without `.txt`, such as folds/a.train."""
    val_split: str = "val"
    """Split for the evaluations during training."""
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(crop=(256, 256)))


@dataclass(frozen=True)
class LossSettings:
    """The loss of a segmentation network: settings of `globalconv.training.loss.segmentation_loss`.

    A field that is added here is an option of `globalconv train` (`--optim.FIELD`), and reaches that function.
    """

    class_weights: ClassWeighting = "none"
    """Weights of the classes in the loss: none, median-frequency, or its square root."""
    dice_weight: float = 0.0
    """Weight of soft Dice beside the cross-entropy (0 = off): helps thin and rare classes."""
    hardest: float | None = None
    """Share of a batch's valid pixels whose cross-entropy counts, those where it is largest; None counts all."""


@dataclass(frozen=True)
class OptimSettings(LossSettings, FineTuneSettings, StepSettings):
    """Optimiser, schedule, loss and the pace of the backbone."""

    def loss(self) -> LossSettings:
        """Return the settings of the loss alone."""
        return LossSettings(**{setting.name: getattr(self, setting.name) for setting in fields(LossSettings)})


@dataclass(frozen=True)
class Recipe(BaseRecipe):
    """One training of a segmentation network, completely."""

    verb: ClassVar[str] = "train"
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    optim: OptimSettings = OptimSettings()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (weight := self.optim.dice_weight) >= 0:
            raise InputError(f"`optim.dice_weight` {weight}: must be at least 0")
        if (share := self.optim.hardest) is not None and not 0 < share <= 1:
            raise InputError(f"`optim.hardest` {share}: is a share of the pixels, above 0 and up to 1")
        if share is not None and self.optim.accumulate > 1:
            raise InputError(
                f"`optim.hardest` {share}: the hardest pixels of a step are not those of its {self.optim.accumulate}"
                " batches; use `optim.accumulate` 1"
            )
        check_fine_tuning(self.optim)
        if not 0 <= (stages := self.model.frozen_stages) <= 4:
            raise InputError(f"`model.frozen_stages` {stages}: is 0 (none), or 1 (res-2) to 4 (res-5)")
        if not 0 <= (rate := self.model.drop_path) < 1:
            raise InputError(f"`model.drop_path` {rate}: must be at least 0 and below 1")

    def from_scratch(self) -> Self:
        """Return the recipe without weights for its backbone, and without what spares a backbone that has some."""
        model = dataclasses.replace(self.model, backbone_weights=None, frozen_stages=0)
        pace: dict[str, Any] = {setting.name: setting.default for setting in fields(FineTuneSettings)}
        return dataclasses.replace(self, model=model, optim=dataclasses.replace(self.optim, **pace))


@dataclass(frozen=True)
class StagedRecipe:
    """Several trainings of one network in a row: each starts from the weights of the one before.

    On the command line `--optim.lr` is for all stages, `--NAME.optim.lr` for one.
    """

    verb: ClassVar[str] = "train, of stages"
    stages: Mapping[str, Recipe]
    """Name of a stage -> its recipe, in their order."""

    def __post_init__(self) -> None:
        assert self.stages.keys().isdisjoint(field.name for field in fields(Recipe))
        (first, recipe), *others = self.stages.items()
        for name, other in others:
            for setting in recipe.model.architecture():  # what a stage starts from has it already
                value, first_value = (getattr(stage.model, setting) for stage in (other, recipe))
                if value != first_value:
                    raise InputError(
                        f"`{name}.model.{setting}` {value}: {first} has {first_value}, and every stage trains the same"
                        f" network; give `model.{setting}` for all"
                    )

    def to_json(self) -> dict[str, Any]:
        """Return the recipes of the stages as JSON values, in their order."""
        return {"stages": {name: recipe.to_json() for name, recipe in self.stages.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the staged recipe that `to_json` wrote."""
        if "stages" not in values:
            raise InputError("it has no stages")
        return cls({name: Recipe.from_json(stage) for name, stage in values["stages"].items()})


@dataclass(frozen=True)
class ClassifierSettings:
    """The network of a pre-training."""

    backbone: str = "resnet50_gcn"
    """Any timm model that can be a backbone of GlobalConvNet, or a resnetNN_gcn."""


@dataclass(frozen=True)
class ImageSettings(SampleSettings):
    """How images are batched, decoded and augmented."""

    augmentation: ClassificationAugmentation = IMAGENET_AUGMENTATION
    batch_size: int = 256
    """Images per forward pass."""


@dataclass(frozen=True)
class PretrainOptim(StepSettings):
    """Optimiser, schedule and loss of a pre-training; the defaults are the usual ones for ImageNet."""

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
    data: ImageSettings = ImageSettings()
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
            raise InputError(f"`data.batch_size` {self.data.batch_size}: batch norm learns from at least 2 images")
        if not 0 <= self.optim.label_smoothing < 1:
            raise InputError(f"`optim.label_smoothing` {self.optim.label_smoothing}: must be at least 0 and below 1")


def stage_folders(out: Path, stages: Iterable[str]) -> dict[str, Path]:
    """Return the run folder of each stage: `OUT/1-NAME`, `OUT/2-NAME`, ..."""
    return {name: out / f"{number}-{name}" for number, name in enumerate(stages, start=1)}


def differences(old: BaseRecipe | StagedRecipe, new: BaseRecipe | StagedRecipe) -> list[str]:
    """Return a phrase per field outside `FREE` that differs: `optim.lr (0.05, now 0.1)`, `coco.optim.lr (...)`."""
    old_stages, new_stages = (list(getattr(recipe, "stages", [])) for recipe in (old, new))
    if old_stages != new_stages:
        then, now = (f"of {', '.join(names)}" if names else "none" for names in (old_stages, new_stages))
        return [f"stages ({then}, now {now})"]
    before, after = (flatten(recipe.to_json().get("stages", recipe.to_json())) for recipe in (old, new))
    free = {f"{stage}.{name}" for stage in old_stages for name in FREE} if old_stages else set(FREE)
    return [
        f"{name} ({one_line(before.get(name))}, now {one_line(after.get(name))})"
        for name in dict.fromkeys([*after, *before])  # a file may hold an object in place of a value
        if before.get(name) != after.get(name) and name not in free
    ]


def flatten(settings: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names."""
    flattened: dict[str, Any] = {}
    for name, value in settings.items():
        flattened |= flatten(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return flattened


def _plain(value: Any) -> Any:
    """Return nested dataclasses as nested dictionaries of JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return list(value) if isinstance(value, tuple) else value


def _build(kind: type[D], values: Mapping[str, Any], path: str) -> D:
    """Return an instance of the dataclass `kind`; `path` leads to it, for messages: "optim."."""
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if unknown := [name for name in values if name not in names]:
        raise InputError(f"recipe field {path}{unknown[0]!r} is unknown; {suggest(unknown[0], names)}")
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        hint = hints[name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            arguments[name] = _build(hint, value, f"{path}{name}.")
        else:
            arguments[name] = tuple(value) if isinstance(value, list) else value
    return kind(**arguments)
