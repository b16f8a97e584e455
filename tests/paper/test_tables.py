"""The tables have the numbers that the paper prints, and their networks the weights that it counts."""

import pytest
import torch

from globalconv.model.blocks import build_head
from globalconv.paper.tables import RANKINGS, TABLES, PaperTable, Variant
from globalconv.training.recipes.index import RECIPES, STAGED


def printed(table: str, score: str = "miou") -> dict[str, float]:
    return {variant.name: variant.printed[score] for variant in TABLES[table].variants}


def test_scores_are_the_papers() -> None:
    kernels = [69.0, 70.1, 71.1, 72.8, 73.4, 73.7, 74.0, 74.5]
    assert list(printed("table1").values()) == kernels
    assert [variant.k for variant in TABLES["table1"].variants] == [1, 3, 5, 7, 9, 11, 13, 15]
    assert list(printed("table2").values()) == [70.1, 71.1, 72.8, 73.4, 69.8, 70.4, 69.6, 68.8]
    assert list(printed("table3").values()) == [70.1, 71.1, 72.8, 73.4, 73.7, 69.8, 71.8, 71.3, 69.5, 67.5]
    assert list(printed("table4").values()) == [71.3, 70.4, 68.8, 72.8]
    assert printed("table5") == {"Baseline": 69.0, "GCN": 74.5, "GCN + BR": 74.7}
    assert list(printed("table5", "boundary_accuracy").values()) == [71.3, 71.5, 73.4]
    assert list(printed("table5", "internal_accuracy").values()) == [93.9, 95.0, 95.1]
    assert list(printed("table6").values()) == [65.7, 72.3, 71.2, 72.5]
    assert list(printed("table7").values()) == [69.6, 72.4, 74.0, 74.1, 77.6, 78.7, 75.0, 78.6, 80.3, 80.4, 81.0]
    assert list(printed("table9").values()) == [73.0, 76.9, 77.2, 77.4]
    assert RANKINGS["table8"].printed["this paper"] == 82.2
    assert RANKINGS["table10"].printed["this paper"] == 76.9


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_tables_are_consistent(table: PaperTable) -> None:
    names = [variant.name for variant in table.variants]
    assert len(set(names)) == len(names)
    assert table.recipe in {**RECIPES, **STAGED}


def with_parameters() -> list[Variant]:
    variants = [v for table in TABLES.values() for v in table.variants if "head_parameters" in v.printed]
    assert len(variants) == 12
    return variants


WIDTH = {"full": 2048, "half": 1024, "narrow": 210}


@pytest.mark.parametrize("variant", with_parameters(), ids=lambda variant: variant.name)
def test_heads_have_the_weights_that_are_printed(variant: Variant) -> None:
    model = variant.model
    with torch.device("meta"):
        head = build_head(model["head"][0], 2048, 21, model["kernel_size"][0], WIDTH.get(model.get("stack_width", "")))
    weights = sum(p.numel() for name, p in head.named_parameters() if name.endswith("weight"))
    assert abs(weights - variant.printed["head_parameters"]) < 1000
