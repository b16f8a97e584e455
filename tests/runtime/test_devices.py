"""Device and precision: what is chosen, what is refused, and what the log says about it."""

import contextlib

import pytest
import torch

from globalconv.errors import InputError
from globalconv.runtime import devices
from globalconv.runtime.devices import choose_device, choose_hardware, choose_precision, native_bfloat16

CPU = torch.device("cpu")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_auto_takes_the_cpu_where_there_is_nothing_else() -> None:
    assert choose_device("auto") == CPU


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(InputError, match=r"device='cuda:1': this machine has 1 CUDA GPU"):
        choose_device("cuda:1")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cuda", "sees no CUDA GPU; use 'cpu'"),
        ("cuda:1", "sees no CUDA GPU"),
        ("mps", "no Apple GPU"),
        ("gpu", "did you mean 'cpu'"),
        ("cpu:1", "did you mean 'cpu'"),
        ("cuda:", "did you mean 'cuda:1'"),
        ("cuda:x", "did you mean 'cuda:1'"),
        ("meta", "known: auto, cpu"),
        ("", "known: auto, cpu"),
    ],
)
def test_an_impossible_device_is_refused_with_a_remedy(name: str, words: str) -> None:
    with pytest.raises(InputError, match=f"device={name!r}: .*{words}") as caught:
        choose_device(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("features", [{}, {"avx2": True}, {"avx512_bf16": True}, {"amx_bf16": True}, {"bf16": True}])
def test_auto_precision_is_bfloat16_only_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, bool]
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {**features, "cpu_name": "test"}, raising=False)
    native = any("bf16" in name for name in features)
    assert choose_precision("auto", CPU) == ("bfloat16" if native else "float32")
    assert bool(native_bfloat16(CPU)) == native


def test_older_torch_is_queried_by_its_private_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    for supported in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda supported=supported: supported)
        assert bool(native_bfloat16(CPU)) == supported


def test_precision_on_a_gpu_counts_only_what_it_does_natively(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments: list[bool] = []

    def supported(including_emulation: bool = True) -> bool:
        arguments.append(including_emulation)
        return True

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Test GPU")
    monkeypatch.setattr(torch.cuda, "device", contextlib.nullcontext)
    assert choose_precision("auto", torch.device("cuda")) == "bfloat16"
    assert arguments == [False]
    assert choose_precision("auto", torch.device("mps")) == "float32"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InputError, match=r"precision='bf16': did you mean 'bfloat16'\?"):
        choose_precision("bf16", CPU)


@pytest.mark.parametrize(
    ("native", "precision", "chosen", "reason"),
    [
        ("AMX", "auto", "bfloat16", "native: AMX"),
        (None, "auto", "float32", "no native bfloat16 here"),
        (None, "float32", "float32", "as asked"),
        ("AMX", "bfloat16", "bfloat16", "as asked"),
        (None, "bfloat16", "bfloat16", "as asked, but no native bfloat16 here: expect it to be slow"),
    ],
)
def test_the_description_names_the_choice_and_its_reason(
    monkeypatch: pytest.MonkeyPatch, native: str | None, precision: str, chosen: str, reason: str
) -> None:
    monkeypatch.setattr(devices, "native_bfloat16", lambda _: native)
    hardware = choose_hardware("cpu", precision)
    assert (hardware.device, hardware.precision) == (CPU, chosen)
    assert hardware.description.endswith(f"{chosen} ({reason})")
    assert hardware.description.startswith("cpu (") and torch.__version__ in hardware.description
