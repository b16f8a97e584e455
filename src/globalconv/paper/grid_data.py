"""The data of a table, opened once for each pair of splits; imports no torch."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from globalconv.data.roots import Root
from globalconv.data.source import Source
from globalconv.paper.keys import data_name, run_key
from globalconv.paper.plan import Run, stages_of
from globalconv.training.recipe import DataSettings, Recipe, StagedRecipe
from globalconv.training.training_splits import fingerprint, open_splits, sample_names

Splits = tuple[Source, Source]
"""For training and validation."""


@dataclass
class Datasets:
    """What lies at the root that `data` names."""

    root: Root | None
    _opened: dict[tuple[str | None, str, str], Splits] = field(default_factory=dict)

    def splits(self, settings: DataSettings) -> Splits:
        """Return the two splits of a training."""
        place = (settings.layout, settings.train_split, settings.val_split)
        if place not in self._opened:
            self._opened[place] = open_splits(settings, self.root)
        return self._opened[place]

    def key_of(self, run: Run) -> str:
        """Return the key of a run's result."""
        return run_key(run.identity, self.facts(run.recipe))

    def facts(self, recipe: Recipe | StagedRecipe) -> dict[str, Any]:
        """Return what a result says about its data (`RunResult.data`): of the last stage, the fingerprint of all."""
        recipes = list(stages_of(recipe).values())
        opened = [self.splits(stage.data) for stage in recipes]
        train, val = opened[-1]
        prints = [fingerprint(sample_names(source))["fingerprint"] for splits in opened for source in splits]
        return {
            "name": data_name(self.root),
            "train_split": recipes[-1].data.train_split,
            "val_split": recipes[-1].data.val_split,
            "train_images": len(train),
            "val_images": len(val),
            "fingerprint": hashlib.sha256("\n".join(prints).encode()).hexdigest(),
            "class_names": list(train.labels.class_names),
        }
