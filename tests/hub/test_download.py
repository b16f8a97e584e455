"""Networks from the hub: which files are fetched, of which commit, and one line for everything that goes wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.fake_hub import FakeHub
from helpers.hub_client import turn_client_to
from helpers.saved_weights import network_of, same
from huggingface_hub import constants

import globalconv
from globalconv.cli.main import main
from globalconv.errors import InputError
from globalconv.hub.address import HubAddress
from globalconv.hub.download import HubFileMissingError, fetch
from globalconv.jobs.serve import digest_of
from globalconv.submission.submission_folder import prediction_settings
from globalconv.weights import load_weights, pinned_weights, weights_folder

ADDRESS = Path("hf://zaphod/net")


@pytest.fixture
def commit(hub: FakeHub, network_files: dict[str, bytes]) -> str:
    """The commit of a repository with a network and with files that are nobody's business."""
    return hub.add(
        "zaphod/net", {**network_files, "model.pkl": b"evil", "README.md": b"# net", "last.safetensors": b"x"}
    )


def gets(hub: FakeHub) -> set[str]:
    return {request.rpartition("/")[2] for request in hub.requests if "/resolve/" in request}


def refusal(path: Path = ADDRESS) -> str:
    with pytest.raises(InputError) as refused:
        load_weights(path)
    assert "\n" not in str(refused.value)
    assert "Traceback" not in str(refused.value)
    return str(refused.value)


def test_two_files_are_fetched_and_no_other(
    hub: FakeHub, commit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load_weights(ADDRESS)
    assert same(model.network, network_of(0))
    assert gets(hub) == {"model.json", "weights.safetensors"}
    names = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file() and "snapshots" in path.parts}
    assert names == {"model.json", "weights.safetensors"}
    assert capsys.readouterr().err == f"hub         zaphod/net: commit {commit} (main)\n"
    assert model.folder.name == commit


def test_the_commit_is_told_once(hub: FakeHub, commit: str, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        load_weights(ADDRESS)
    assert capsys.readouterr().err.count("\n") == 1


def test_branches_tags_and_commits(hub: FakeHub, commit: str, network_files: dict[str, bytes]) -> None:
    other = hub.add("zaphod/net", {"model.json": b"{}"}, branch="v1")
    assert weights_folder(Path("hf://zaphod/net@main")).name == commit
    assert weights_folder(Path(f"hf://zaphod/net@{commit}")).name == commit
    hub.repositories["zaphod/net"].branches["refs/pr/1"] = commit
    assert weights_folder(Path("hf://zaphod/net@refs/pr/1")).name == commit
    assert "has no weights.safetensors" in refusal(Path("hf://zaphod/net@v1")) and other != commit
    assert "no such revision" in refusal(Path("hf://zaphod/net@v2"))


def test_a_commit_in_the_cache_needs_no_request(hub: FakeHub, commit: str) -> None:
    pinned = pinned_weights(ADDRESS)
    assert str(pinned) == f"hf:/zaphod/net@{commit}"
    hub.requests.clear()
    load_weights(pinned)
    assert not hub.requests


def test_a_branch_that_moved_is_fetched_anew(hub: FakeHub, commit: str) -> None:
    load_weights(ADDRESS)
    later = hub.add("zaphod/net", {"README.md": b"# better"})
    hub.requests.clear()
    assert load_weights(ADDRESS).folder.name == later
    assert not [request for request in hub.requests if request.startswith("GET /stored")], "equal files are there"


def test_where_the_hub_is_down_the_cache_is_taken_and_told(
    hub: FakeHub, commit: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    load_weights(ADDRESS)
    hub.failing = 503
    for _ in range(2):
        load_weights(ADDRESS)
    monkeypatch.setattr("globalconv.hub.download._told", set())
    assert load_weights(ADDRESS).folder.name == commit
    assert "cannot be reached, so this is what the cache has" in capsys.readouterr().err
    turn_client_to(hub, tmp_path / "empty", monkeypatch)
    assert "HTTP 503" in refusal()


def test_offline_takes_the_cache_or_says_so(
    hub: FakeHub, commit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    load_weights(ADDRESS)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    load_weights(ADDRESS)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    line = refusal()
    assert "HF_HUB_OFFLINE is set" in line and "nothing of it is in the cache" in line
    assert not hub.requests


def test_a_dead_network_is_said_at_once(hub: FakeHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    )
    assert "the connection to the hub failed" in refusal()


def test_what_is_not_there_or_not_allowed(
    hub: FakeHub, commit: str, network_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no such repository, or you may not see it" in refusal(Path("hf://zaphod/nothing"))
    hub.add("zaphod/secret", network_files, private=True)
    assert "hf auth login" in refusal(Path("hf://zaphod/secret"))
    hub.add("zaphod/gated", network_files, gated=True)
    assert "have to let you in" in refusal(Path("hf://zaphod/gated"))
    hub.users["hf_other"] = "arthur"
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert "no such repository" in refusal(Path("hf://zaphod/secret"))
    assert "have to let you in" in refusal(Path("hf://zaphod/gated"))
    monkeypatch.setenv("HF_TOKEN", "hf_revoked")
    line = refusal()
    assert "log in" in line and "hf_revoked" not in line
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    load_weights(Path("hf://zaphod/secret"))


def test_what_is_no_network_is_said(hub: FakeHub, network_files: dict[str, bytes]) -> None:
    hub.add("zaphod/pickle", {"pytorch_model.bin": b"x", "config.json": b"{}"})
    assert "holds no network of globalconv: it has no model.json" in refusal(Path("hf://zaphod/pickle"))
    hub.add("zaphod/half", {"model.json": network_files["model.json"]})
    assert "it has no weights.safetensors" in refusal(Path("hf://zaphod/half"))
    assert not [request for request in hub.requests if "pytorch_model" in request]


def test_what_was_changed_on_the_way_is_refused_and_named(hub: FakeHub, network_files: dict[str, bytes]) -> None:
    damaged = bytearray(network_files["weights.safetensors"])
    damaged[-3] ^= 1
    hub.add("zaphod/net", {**network_files, "weights.safetensors": bytes(damaged)})
    line = refusal()
    assert line.startswith("hf://zaphod/net: ") and "its digest is another" in line


def test_a_download_that_is_cut_goes_on_and_one_that_stays_cut_ends(
    hub: FakeHub, commit: str, network_files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.cuts["GET"] = 3
    assert same(load_weights(ADDRESS).network, network_of(0))
    turn_client_to(hub, tmp_path / "empty", monkeypatch)
    hub.cuts["GET"] = 10**6
    assert "the connection to the hub failed or was cut" in refusal()
    hub.cuts.clear()
    load_weights(ADDRESS)  # nothing half stays behind


def test_files_that_are_missing_have_an_error_of_their_own(hub: FakeHub, commit: str) -> None:
    with pytest.raises(HubFileMissingError):
        fetch(HubAddress("zaphod/net"), ["backbone.safetensors"], "backbone")


def test_every_verb_takes_an_address(
    hub: FakeHub, commit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from helpers.training import write_blobs

    monkeypatch.chdir(tmp_path)
    blobs = write_blobs(tmp_path / "blobs")
    image, network = str(blobs / "images" / "val" / "0.png"), "hf://zaphod/net@main"
    data = ["--data", str(blobs)]
    commands = [
        ["predict", network, image, "--out", "new"],
        ["evaluate", network, *data, "--report", "evaluation.html"],
        ["report", network, *data, "--out", "report.html"],
        ["cost", network, "--size", "64x64"],
        ["vrf", network, image, "--at", "5,5", "--out", "field.png", "--occluders", "60"],
        ["card", network],
        ["crf-search", network, *data, "--split", "all", "--images", "2", "--workers", "1", "--out", "crf"],
    ]
    for command in commands:
        assert main([*command]) == 0, (command, capsys.readouterr().err)
        capsys.readouterr()
    assert (
        f"hf://zaphod/net@{commit}"
        in (tmp_path / "crf" / "crf.json").read_text() + (tmp_path / "crf" / "search.json").read_text()
    )
    assert not (tmp_path / "hf:").exists(), "no address became a folder"
    assert main(["report", network, *data]) == 2
    assert "name the HTML file" in capsys.readouterr().err
    assert globalconv.load(network)(image).class_map.shape == (56, 72)


def test_what_is_recorded_of_a_network_is_the_same_there_and_here(
    hub: FakeHub, commit: str, network_files: dict[str, bytes], tmp_path: Path
) -> None:
    for name, content in network_files.items():
        (tmp_path / name).write_bytes(content)
    there, here = (
        prediction_settings("voc", "test", path, globalconv.load(path))
        for path in (Path(f"{ADDRESS}@{commit}"), tmp_path)
    )
    assert there == here
    predictor = globalconv.load(tmp_path)
    assert digest_of(predictor, ADDRESS) == digest_of(predictor, tmp_path) != ""


def test_the_client_is_not_imported_without_an_address() -> None:
    code = (
        "import sys, globalconv.hub.address, globalconv.hub.download, globalconv.hub.client\n"
        "assert 'huggingface_hub' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
