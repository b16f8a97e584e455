"""The runs of tables: which ones are shared, their order, and that runs of one seed differ only in what is compared."""

import dataclasses
from pathlib import Path

import pytest
import torch
from helpers.training import small_recipe, write_blobs

from globalconv.data.datasets import open_source
from globalconv.errors import InputError
from globalconv.labels import CAMVID
from globalconv.model.blocks import build_head
from globalconv.paper.plan import Run, check_overrides, on_fold, plan, stack_width, with_steps
from globalconv.paper.tables import TABLES
from globalconv.training.recipe import Recipe, StagedRecipe
from globalconv.training.recipes.index import recipe_named
from globalconv.training.segmentation import Segmentation, build_network

ABLATIONS = ("table1", "table2", "table3", "table4", "table5")


def planned(*names: str, base: Recipe | StagedRecipe | None = None, seeds: int = 1, first: bool = False) -> list[Run]:
    tables = [TABLES[name] for name in names]
    return plan(tables, [small_recipe() if base is None else base], seeds, first, lambda: 11)


def distinct(*names: str) -> int:
    return len({run.identity for run in planned(*names)})


def test_tables_share_their_runs() -> None:
    assert distinct("table1") == 8
    assert distinct("table1", "table2") == 8 + 4
    assert distinct("table1", "table2", "table3") == 8 + 4 + 4  # a stack of one 3x3 is the 3x3 convolution of Table 2
    assert distinct("table1", "table2", "table3", "table4") == 8 + 4 + 4 + 2
    assert distinct(*ABLATIONS) == 8 + 4 + 4 + 2 + 1


def test_runs_are_ordered_by_seed_and_then_first_variants() -> None:
    runs = planned("table1", "table5", seeds=2)
    seeds = [run.last_stage.seed for run in runs]
    assert seeds == sorted(seeds)
    names = [run.variant.name for run in runs if run.last_stage.seed == 0]
    first = ["Baseline", "GCN k=3", "GCN k=7", "GCN k=15", "Baseline", "GCN", "GCN + BR"]
    assert names == [*first, "GCN k=5", "GCN k=9", "GCN k=11", "GCN k=13"]
    assert [run.variant.name for run in planned("table1", "table5", first=True)] == first


def test_first_rows_of_a_table_without_any_are_refused() -> None:
    with pytest.raises(InputError, match="`first`: table6"):
        planned("table1", "table6", first=True)


def test_more_seeds_keep_the_runs_of_fewer() -> None:
    few, more = planned("table1", seeds=1), planned("table1", seeds=3)
    assert [run.identity for run in few] == [run.identity for run in more[: len(few)]]


def test_a_row_trains_only_the_stages_that_it_needs() -> None:
    runs = {run.variant.name: run for run in planned("table7", base=recipe_named("voc"))}
    assert [len(runs[f"GCN Stage-{count}"].recipe.to_json()["stages"]) for count in (1, 2, 3)] == [1, 2, 3]
    whole, with_scales = runs["GCN + BR Stage-3"], runs["GCN + BR Stage-3-MS"]
    assert whole.recipe == with_scales.recipe
    assert whole.identity != with_scales.identity


def test_runs_of_a_seed_start_with_the_same_backbone_and_see_the_same_images(tmp_path: Path) -> None:
    source = open_source(write_blobs(tmp_path), "train")
    starts, batches = [], []
    for run in planned(*ABLATIONS):
        recipe = run.last_stage
        network = build_network(recipe.model, CAMVID, recipe.seed, None, False, print)
        starts.append(torch.cat([p.detach().flatten() for p in network.backbone.parameters()]))
        task = Segmentation(recipe.data, recipe.seed, source, source, (0, 0, 0))
        batches.append(next(task.batches(0, 0)))
    assert len(starts) == 33
    assert all(torch.equal(start, starts[0]) for start in starts)
    assert all(batch.names == batches[0].names for batch in batches)
    assert all(torch.equal(batch.images_N3HW, batches[0].images_N3HW) for batch in batches)


def test_stack_widths_follow_the_backbone() -> None:
    assert stack_width("full", "resnet50", 21) is None
    assert stack_width("half", "resnet50", 21) == (128, 256, 512, 1024)
    assert stack_width("narrow", "resnet50", 21) == (26, 52, 105, 210)
    for level, width in zip((64, 128, 256, 512), stack_width("narrow", "resnet18", 21) or (), strict=True):
        heads = [build_head("gcn", level, 21, 7), build_head("stack", level, 21, 7, width)]
        gcn, stack = (sum(p.numel() for n, p in head.named_parameters() if "weight" in n) for head in heads)
        assert abs(stack / gcn - 1) < 0.05


def test_budgets_and_folds_apply_to_every_stage() -> None:
    voc = with_steps(recipe_named("voc"), 7)
    assert isinstance(voc, StagedRecipe)
    assert {recipe.steps for recipe in voc.stages.values()} == {7}
    fold = on_fold(small_recipe(), "folds/a")
    assert isinstance(fold, Recipe)
    assert (fold.data.train_split, fold.data.val_split) == ("folds/a.train", "folds/a.val")


def test_rows_sum_scores_whatever_the_recipe_does() -> None:
    base = with_steps(recipe_named("folder"), 7)
    assert isinstance(base, Recipe) and base.model.decoder == "features"
    for run in planned("table2", "table5", base=base):
        assert run.last_stage.model.decoder == "scores"
    check_overrides([TABLES["table1"]], base, base)
    scores = dataclasses.replace(base, model=dataclasses.replace(base.model, decoder="scores"))
    check_overrides([TABLES["table1"]], base, scores)
    with pytest.raises(InputError, match=r"`model\.decoder` features: the tables are of scores"):
        check_overrides([TABLES["table1"]], scores, base)


def test_fields_that_a_table_sets_are_refused() -> None:
    default = small_recipe()
    for changed, words in (
        (dataclasses.replace(default, model=dataclasses.replace(default.model, head=("conv",))), r"`model\.head`"),
        (dataclasses.replace(default, seed=1), "`seed` 1"),
        (dataclasses.replace(default, evaluate_every=3), "`evaluate_every` 3"),
    ):
        with pytest.raises(InputError, match=words):
            check_overrides([TABLES["table1"]], default, changed)
    with pytest.raises(InputError, match="table7: compares 3 stages"):
        check_overrides([TABLES["table7"]], default, default)
