"""`globalconv cost`: what is compared, and that the table and the JSON have the figures of `network_cost`."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

import globalconv
from globalconv.cli.main import main
from globalconv.cost.compare import model_variants
from globalconv.jobs.cost import LatencySettings, compare_costs
from globalconv.labels import LabelSpace
from globalconv.training.recipe import ModelSettings
from globalconv.weights import save_weights

TINY = ModelSettings(backbone="test_resnet")
SMALL = "--model.backbone test_resnet --size 64x96"


def output_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(shlex.split(f"cost {command}")) == 0
    return capsys.readouterr().out


def test_variants_are_every_head_with_every_k_once() -> None:
    variants = model_variants(TINY, ["pointwise", "gcn"], [3, 7])
    assert [(model.head, model.kernel_size) for model in variants] == [
        (("pointwise",), (1,)), (("gcn",), (3,)), (("gcn",), (7,))
    ]  # fmt: skip
    assert model_variants(TINY, [], []) == [TINY]
    wide = ModelSettings(backbone="test_resnet", stack_width=8, head=("stack",))
    assert [model.stack_width for model in model_variants(wide, ["gcn", "stack"], [5])] == [None, 8]


def test_json_says_what_network_cost_says(capsys: pytest.CaptureFixture[str]) -> None:
    values: dict[str, Any] = json.loads(
        output_of(f"{SMALL} --classes 4 --heads gcn conv --kernel-sizes 3 5 --json", capsys)
    )
    assert (values["size"], values["classes"], values["hardware"]) == ([64, 96], 4, None)
    assert [(n["head"], n["kernel_size"]) for n in values["networks"]] == [
        (["gcn"], [3]), (["gcn"], [5]), (["conv"], [3]), (["conv"], [5])
    ]  # fmt: skip
    for network in values["networks"]:
        built = globalconv.GlobalConvNet(4, "test_resnet", network["kernel_size"][0], network["head"][0])
        cost = globalconv.network_cost(built, 64, 96)
        assert network["weights"] == cost.weights == sum(block["weights"] for block in network["blocks"])
        assert network["multiply_adds"] == cost.multiply_adds
        assert (network["inference_bytes"], network["training_bytes"]) == (cost.inference_bytes, cost.training_bytes)
        assert network["last_head_weights"] == sum(p.numel() for p in built.heads[3].parameters())
        assert network["seconds"] is None


def test_one_network_is_shown_block_by_block(capsys: pytest.CaptureFixture[str]) -> None:
    lines = output_of(SMALL, capsys).splitlines()
    assert lines[0] == "test_resnet, 21 classes, one image of 64x96, head gcn, k 15"
    cells = {line[:24].strip(): line[24:].split() for line in lines}
    assert cells["total"][1::3] == ["100.0%", "100.0%"]
    assert cells["refinements after heads"][0] == f"{4 * 7980:,}"


def test_latency_is_measured_where_asked() -> None:
    comparison = compare_costs(TINY, 32, 32, 2, ["pointwise", "gcn"], [3], LatencySettings("cpu", repeats=2))
    assert comparison.hardware is not None and "cpu" in comparison.hardware
    assert all(network.seconds and network.seconds > 0 for network in comparison.networks)
    fields = comparison.to_json()["networks"]
    assert fields[0]["ratio"] == 1 and fields[1]["ratio"] == fields[1]["seconds"] / fields[0]["seconds"]
    assert comparison.text().count(" ms ") == 2 and comparison.hardware in comparison.text()


def test_a_saved_network_says_itself_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = globalconv.GlobalConvNet(2, "test_resnet", (3, 3, 5, 7), boundary_refinement=False)
    save_weights(tmp_path / "run", network, LabelSpace(("a", "b"), ((0, 0, 0), (9, 9, 9))), {})
    values = json.loads(output_of(f"{tmp_path / 'run'} --size 33x40 --json", capsys))
    (fields,) = values["networks"]
    assert (values["classes"], fields["kernel_size"], fields["boundary_refinement"]) == (2, [3, 3, 5, 7], False)
    assert fields["multiply_adds"] == globalconv.network_cost(network, 33, 40).multiply_adds
    other = json.loads(output_of(f"{tmp_path / 'run'} --size 33x40 --heads pointwise --json", capsys))["networks"]
    assert other[0]["boundary_refinement"] is False and other[0]["weights"] < fields["weights"]
