"""`globalconv push`: a network onto the hub, with its model card."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from globalconv.cards.card_facts import Publication
from globalconv.cards.model_card import render_card
from globalconv.cards.public_files import write_public_files
from globalconv.errors import InputError
from globalconv.hub.address import HubAddress, check_repository, is_address, parse_address
from globalconv.hub.upload import Published, open_repository, publish
from globalconv.jobs.card import CardScoring, card_facts
from globalconv.runtime.files import as_path, write_text
from globalconv.weights import MODEL_FILE, load_weights

if TYPE_CHECKING:
    from torch import nn

CARD_FILE = "README.md"
EXAMPLES = "images/example-*.jpg"


def push(
    run: str | Path,
    repository: str,
    private: bool = False,
    revision: str | None = None,
    scoring: CardScoring | None = None,
    license: str | None = None,  # noqa: A002 (what everybody calls it)
    network: "nn.Module | None" = None,
) -> Published:
    """Publish `run` (a run folder, or a folder with weights) on the hub as `repository`, USER/NAME; return where it is.

    Its two files are loaded and their digest is checked first; they, the recipe and the model card are sent without
    paths and names of this machine and its user. A repository that is not there is made, `private` or public;
    `revision` is a branch of it. `scoring` and `license` are for the card (`card`), `network` is needed where the
    training was given one. Raises `InputError` for whatever is refused, here or by the hub; a call that was cut is
    repeated.
    """
    scoring = scoring or CardScoring()
    address = _target(repository, revision)
    run = as_path("run", run)
    if is_address(run):
        raise InputError(f"{parse_address(run)}: is on the hub already; give a folder of this machine")
    publication = Publication(repository.rpartition("/")[2], repository, license, revision=revision)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = load_weights(run, network)
        files = write_public_files(model, folder)
        # Before images are scored, which takes a while.
        opened = open_repository(address, private, lambda names: MODEL_FILE in names)
        facts = card_facts(run, publication, scoring, folder, network)
        write_text(folder / CARD_FILE, render_card(facts))
        files[CARD_FILE] = folder / CARD_FILE
        files |= {name: folder / name for name in facts.publication.images}
        return publish(opened, files, EXAMPLES, f"Publish {publication.title} with globalconv")


def _target(repository: str, revision: str | None) -> HubAddress:
    """Return where to publish; `InputError` for what is no repository, or no branch of one."""
    check_repository(repository)
    if revision is None:
        return HubAddress(repository)
    address = parse_address(f"hf://{repository}@{revision}")
    if address.is_commit or revision.startswith("refs/"):
        raise InputError(f"`revision` {revision}: is no branch; name one to publish to")
    return address
