"""`globalconv pretrain --data PATH --out RUN`: pre-train a backbone on images with a class each."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from globalconv.cli.options import read_options
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text
from globalconv.training.recipe import PretrainRecipe


@dataclass(frozen=True)
class PretrainOptions:
    """Options of `globalconv pretrain`."""

    data: Path
    """Folder with train/CLASS/ and val/CLASS/, as ImageNet is unpacked."""
    out: Path
    """Run folder to make (with --resume: to go on with)."""
    recipe: Annotated[PretrainRecipe, tyro.conf.arg(name="")] = PretrainRecipe()  # noqa: RUF009
    resume: bool = False
    """Go on where the run in --out stopped."""


def run(arguments: list[str], stop: StopRequest) -> int:
    """Pre-train; print where the backbone is and how to train a segmentation network from it."""
    about = "Pre-train a backbone on images with a class each (docs/pretraining.md)."
    options = read_options(PretrainOptions, "pretrain", arguments, about)
    with fast_imports():
        from globalconv.jobs.pretrain import pretrain

    file = shlex.quote(str(pretrain(options.recipe, options.data, options.out, options.resume, stop)))
    backbone = options.recipe.model.backbone
    print_text(f"done: {file}")
    print_text(f"next: globalconv train RECIPE --model.backbone {backbone} --model.backbone-weights {file} ...")
    return 0
