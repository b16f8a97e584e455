"""The arithmetic of the load test, and its clients against a server."""

import importlib.util
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest
from helpers.http_server import encoded, picture, serving


@pytest.fixture(scope="module")
def load() -> ModuleType:
    file = Path(__file__).parents[2] / "benchmarks" / "serve.py"
    spec = importlib.util.spec_from_file_location("serve_benchmark", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_row_has_the_median_and_the_slowest_of_a_hundred(load: ModuleType) -> None:
    row = load.row("case", 12.345, [0.01] * 99 + [0.5], [100.0, 101.6])
    assert (row["requests"], row["requests_per_s"], row["median_ms"]) == (100, 12.3, 10.0)
    assert 10 < row["p99_ms"] < 500 and row["memory_mb"] == "100, 102"


def test_clients_send_as_many_requests_as_they_are_told(load: ModuleType) -> None:
    image = encoded(picture(16, 16))
    with serving() as client:
        port = urlsplit(client.address).port
        assert len(load.in_turn(port, image, 13, 4)) == 13
        taken = load.at_rate(port, image, 6, 50.0)
        assert len(taken) == 6 and all(0 < seconds < 10 for seconds in taken)
        metrics = client.get("/metrics").content.decode()
    assert 'globalconv_requests_total{path="/v1/segment",status="200"} 19.0' in metrics
