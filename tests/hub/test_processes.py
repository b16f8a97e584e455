"""The command line in processes of its own, with the hub's own environment variables."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.fake_hub import FakeHub, serving
from helpers.saved_weights import save_run
from helpers.training import write_blobs


@pytest.mark.slow
def test_push_here_predict_there_then_offline(tmp_path: Path) -> None:
    run, blobs = save_run(tmp_path), write_blobs(tmp_path / "blobs")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*"}

    def globalconv(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "globalconv.cli.main", *map(str, words)]
        return subprocess.run(
            command, env={**environment, **variables}, capture_output=True, text=True, check=False, timeout=300
        )

    with serving(FakeHub()) as hub:
        environment["HF_ENDPOINT"] = hub.endpoint
        home, other = str(tmp_path / "home"), str(tmp_path / "other")
        refused = globalconv("push", run, "zaphod/net", HF_HOME=home)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1) and "HF_TOKEN" in refused.stderr
        pushed = globalconv("push", run, "zaphod/net", HF_HOME=home, HF_TOKEN="hf_writer")
        assert pushed.returncode == 0, pushed.stderr
        commit = hub.repositories["zaphod/net"].branches["main"]
        image = blobs / "images" / "val" / "0.png"
        predicted = globalconv("predict", "hf://zaphod/net", image, "--out", tmp_path / "new", HF_HOME=other)
        assert predicted.returncode == 0, predicted.stderr
        assert f"zaphod/net: commit {commit} (main)" in predicted.stderr
        assert (tmp_path / "new" / "0.png").exists()
        assert (tmp_path / "other" / "hub").is_dir()
        requests = len(hub.requests)
        offline = globalconv(
            "predict", "hf://zaphod/net", image, "--out", tmp_path / "again", HF_HOME=other, HF_HUB_OFFLINE="1"
        )
        assert offline.returncode == 0, offline.stderr
        missing = globalconv(
            "predict", "hf://zaphod/net@v9", image, "--out", tmp_path / "none", HF_HOME=other, HF_HUB_OFFLINE="1"
        )
        assert missing.returncode == 2 and "HF_HUB_OFFLINE is set" in missing.stderr
        assert len(hub.requests) == requests
    for ended in (refused, pushed, predicted, offline, missing):
        assert "Traceback" not in ended.stderr and "hf_writer" not in ended.stderr + ended.stdout
