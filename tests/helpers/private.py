"""A run in which every text names a user, a machine and paths of theirs."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from globalconv.weights import load_weights, save_weights

USER, HOST = "zaphod-b", "heart-of-gold"

SECRETS = (USER, HOST, "/home", "/srv", "Users", "C:", "beeblebrox")
"""Nothing of it may be published."""

TEXT = f"/home/{USER}/x file /srv/{USER}/a b/y {USER} on {HOST}.beeblebrox.org C:\\Users\\{USER}\\z ~/{USER}/w"


def belong_to_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process be one of the user on the machine, at home there."""
    monkeypatch.setenv("HOME", f"/home/{USER}")
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, USER)
    monkeypatch.setattr(socket, "gethostname", lambda: f"{HOST}.beeblebrox.org")


def private_run(run: Path, out: Path) -> Path:
    """Return a copy of `run` below a folder of the user, in which every text has secrets beside it."""
    folder = out / USER / f"run of {USER}"
    shutil.copytree(run, folder)
    for name in ("recipe.json", "dataset.json"):
        (folder / name).write_text(json.dumps(filled(json.loads((folder / name).read_text()))))
    events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    events = [{**filled(event), "event": event["event"]} for event in events]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    model = load_weights(folder)
    info = {**filled(model.info), "images": model.info["images"], "held_out": [TEXT, USER]}
    save_weights(folder, model.network, model.labels, info, model.geometry)
    return folder


def filled(value: Any) -> Any:
    """Return a JSON value with the secrets in every text and in place of everything that is absent."""
    if isinstance(value, dict):
        return {name: filled(inner) for name, inner in value.items()} | {USER: TEXT, TEXT: USER}
    if isinstance(value, list):
        return [filled(inner) for inner in value] + ([TEXT] if value and isinstance(value[0], str) else [])
    return TEXT if value is None or isinstance(value, str) else value
