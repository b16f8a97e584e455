"""The recipe of `globalconv pretrain`: the usual one for ImageNet.

Recipes: every setting of a training, typed, frozen, saved beside its results.

A recipe is returned by a plain function (`globalconv.training.recipes`); the command line overrides any field by its
dotted name (`--optim.lr 0.02`), and the resolved recipe is written to the run folder as `recipe.json`. A staged recipe
is several of them in a row, each with a name; `--optim.lr` is then for all, `--NAME.optim.lr` for one.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar, get_type_hints

from globalconv.data.class_weights import ClassWeighting
from globalconv.data.transform_settings import IMAGENET_AUGMENTATION, Augmentation, ClassificationAugmentation
from globalconv.errors import InputError, suggest

FREE = ("data.workers", "device", "checkpoint_every")
"""Fields that a resumed run may change: they decide where and how work is done, not what comes out."""


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
    in the paper. 64 is worth trying from scratch (docs/training.md)."""
    boundary_refinement: bool = True
    """The nine Boundary Refinement blocks."""
    upsample: Literal["deconv", "bilinear"] = "deconv"
    """Learned x2 deconvolutions that start bilinear, or fixed bilinear interpolation."""
    backbone_weights: str | None = None
    """None (from scratch), "imagenet", a timm tag, or a local file."""
    backbone_norm: Literal["train", "frozen"] = "train"
    """Batch norm of the backbone: learnt, or fixed at the statistics of the loaded weights."""

    def architecture(self) -> dict[str, Any]:
        """Return the arguments of `globalconv.GlobalConvNet` but the number of classes and where weights come from."""
        return {
            "backbone": self.backbone,
            "kernel_size": _one_or_four(self.kernel_size),
            "head": _one_or_four(self.head),
            "stack_width": self.stack_width,
            "head_width": self.head_width,
            "boundary_refinement": self.boundary_refinement,
            "upsample": self.upsample,
        }


def _one_or_four(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else values


@dataclass(frozen=True)
class SampleSettings:
    """How samples come to the network, whatever they are."""

    batch_size: int = 8
    """Images per forward pass."""
    workers: int | None = None
    """Processes that decode samples; None takes half of the processor's cores, 0 decodes in the training process."""


@dataclass(frozen=True)
class DataSettings(SampleSettings):
    """What is trained and evaluated on, and how samples are made."""

    layout: str | None = None
    """Layout of the data (docs/data.md); None recognises it."""
    train_split: str = "train"
    """Split to train on; in list-file layouts the list's path without `.txt`, such as folds/a.train."""
    val_split: str = "val"
    """Split for the evaluations during training."""
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(crop=(256, 256)))


@dataclass(frozen=True)
class StepSettings:
    """Optimiser and schedule: what makes a step of a loss."""

    algorithm: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.05
    """Peak learning rate, for a loss that is a mean over what counts: valid pixels, or images."""
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
class OptimSettings(StepSettings):
    """Optimiser, schedule and loss."""

    class_weights: ClassWeighting = "none"
    """Weights of the classes in the loss: none, median-frequency, or its square root."""
    dice_weight: float = 0.0
    """Weight of soft Dice beside the cross-entropy (0 = off): helps thin and rare classes."""
    hardest: float | None = None
    """Share of a batch's valid pixels whose cross-entropy counts, those where it is largest; None counts all."""


@dataclass(frozen=True)
class BaseRecipe:
    """What the loop has to know of a training, whatever is learnt."""

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
        _check(self)

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as nested dictionaries of JSON values."""
        return _plain(self)  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Return the recipe that `to_json` wrote; an unknown field is refused, naming the nearest."""
        return _build(cls, fields, "")


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


@dataclass(frozen=True)
class StagedRecipe:
    """Trainings of one network in a row: each starts from the weights of the one before."""

    verb: ClassVar[str] = "train, of stages"
    stages: Mapping[str, Recipe]
    """Name of a stage -> its recipe, in their order."""

    def __post_init__(self) -> None:
        assert self.stages.keys().isdisjoint(field.name for field in dataclasses.fields(Recipe))
        (first, recipe), *others = self.stages.items()
        for name, other in others:
            for setting in _ARCHITECTURE:
                theirs, ours = (getattr(stage.model, setting) for stage in (other, recipe))
                if theirs != ours:
                    option = f"model.{setting}"
                    raise InputError(
                        f"`{name}.{option}` {theirs}: {first} has {ours}, and every stage trains the same network;"
                        f" give `{option}` for all"
                    )

    def to_json(self) -> dict[str, Any]:
        """Return the recipes of the stages as JSON values, in their order."""
        return {"stages": {name: recipe.to_json() for name, recipe in self.stages.items()}}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Return the staged recipe that `to_json` wrote."""
        if "stages" not in fields:
            raise InputError("it has no stages")
        return cls({name: Recipe.from_json(stage) for name, stage in fields["stages"].items()})


_ARCHITECTURE = tuple(
    field.name for field in dataclasses.fields(ModelSettings) if field.name not in ("backbone_weights", "backbone_norm")
)
"""Fields of the network that no stage can change, for it starts from the weights of the one before."""


def stage_folders(out: Path, stages: Iterable[str]) -> dict[str, Path]:
    """Return the run folder of each stage: `OUT/1-NAME`, `OUT/2-NAME`, ..."""
    return {name: out / f"{number}-{name}" for number, name in enumerate(stages, start=1)}


def _check(recipe: BaseRecipe) -> None:
    """Refuse values that no training can use, naming the option."""
    at_least = {
        "`data.batch_size`": (recipe.data.batch_size, 1),
        "`data.workers`": (recipe.data.workers or 0, 0),
        "`optim.accumulate`": (recipe.optim.accumulate, 1),
        "`optim.warmup_steps`": (recipe.optim.warmup_steps, 0),
        "`optim.weight_decay`": (recipe.optim.weight_decay, 0),
        "`evaluate_every`": (recipe.evaluate_every, 1),
        "`checkpoint_every`": (recipe.checkpoint_every, 1),
        "`log_every`": (recipe.log_every, 1),
        "`seed`": (recipe.seed, 0),
        "`steps`": (1 if recipe.steps is None else recipe.steps, 1),
    }
    for option, (value, least) in at_least.items():
        if not value >= least:
            raise InputError(f"{option} {value}: must be at least {least}")
    if recipe.seed >= 2**32:
        raise InputError(f"`seed` {recipe.seed}: must be below 2^32")
    clip = recipe.optim.clip_norm
    for option, number in {"`optim.lr`": recipe.optim.lr, "`epochs`": recipe.epochs, "`optim.clip_norm`": clip}.items():
        if number is not None and not 0 < number < float("inf"):
            raise InputError(f"{option} {number}: must be a positive number")
    for option, fraction in {
        "`optim.momentum`": recipe.optim.momentum,
        "`optim.ema_decay`": recipe.optim.ema_decay,
    }.items():
        if fraction is not None and not 0 <= fraction < 1:
            raise InputError(f"{option} {fraction}: must be at least 0 and below 1")
    if recipe.optim.nesterov and (recipe.optim.algorithm != "sgd" or recipe.optim.momentum == 0):
        raise InputError("`optim.nesterov`: is a form of SGD's momentum; use `optim.algorithm` sgd with a momentum")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value


D = TypeVar("D")


def _build(kind: type[D], fields: Mapping[str, Any], path: str) -> D:
    hints = get_type_hints(kind)
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    if unknown := [name for name in fields if name not in known]:
        raise InputError(f"recipe field {path}{unknown[0]!r} is unknown; {suggest(unknown[0], known)}")
    values: dict[str, Any] = {}
    for name, value in fields.items():
        hint = hints[name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            values[name] = _build(hint, value, f"{path}{name}.")
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def differences(old: BaseRecipe | StagedRecipe, new: BaseRecipe | StagedRecipe) -> list[str]:
    """Return a phrase per field outside `FREE` that differs: `optim.lr (0.05, now 0.1)`, `coco.optim.lr (...)`."""
    stages = [list(recipe.stages) if isinstance(recipe, StagedRecipe) else [] for recipe in (old, new)]
    if stages[0] != stages[1]:
        then, now = (f"of {', '.join(names)}" if names else "none" for names in stages)
        return [f"stages ({then}, now {now})"]
    before, after = (flat(recipe.to_json().get("stages", recipe.to_json())) for recipe in (old, new))
    changed = [name for name in after if before[name] != after[name] and not _is_free(name, staged=bool(stages[0]))]
    return [f"{name} ({before[name]}, now {after[name]})" for name in changed]


def _is_free(name: str, staged: bool) -> bool:
    return (name.partition(".")[2] if staged else name) in FREE


def flat(fields: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        found |= flat(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return found


@dataclass(frozen=True)
class ClassifierSettings:
    """The network that is pre-trained."""

    backbone: str = "resnet50_gcn"
    """Any timm model that can be a backbone of GlobalConvNet, or a resnetNN_gcn."""


@dataclass(frozen=True)
class ImageSettings(SampleSettings):
    """How images come to the network."""

    augmentation: ClassificationAugmentation = IMAGENET_AUGMENTATION
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
