"""Files of a repository on the hub, in the cache of the hub's client: those that are asked for, and no others.

A branch or tag is settled to its commit before anything else is fetched, so that all files are of one commit; the line
that tells it is printed once. Where the hub cannot be reached, what the cache has of that branch is taken, and told. A
commit that is in the cache is taken without any request. HF_HOME, HF_HUB_OFFLINE, HF_TOKEN and HF_ENDPOINT mean what
they mean to the client.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from globalconv.errors import InputError, print_line
from globalconv.hub.address import HubAddress
from globalconv.hub.client import explain, quiet_client, status_of
from globalconv.runtime.processes import is_first_process

TIMEOUT_S = 10.0
"""Of the first request. The client itself retries a dead network for most of a minute, so one without retries goes
first."""


class HubFileMissingError(InputError):
    """A repository lacks a file that was asked for."""


@dataclass(frozen=True)
class Snapshot:
    """Files of one commit of a repository, in a folder of the cache."""

    folder: Path
    address: HubAddress
    """With the commit as its revision."""


_told: set[HubAddress] = set()


def fetch(address: HubAddress, files: Sequence[str], what: str) -> Snapshot:
    """Return `files` of a repository, fetched where the cache has not got them; `what` is what they make together.

    Raises `InputError` in one line for whatever is wrong: no such repository or revision, no right to it, a cut
    connection; `HubFileMissingError` where the repository has no such file. No other file is ever fetched.
    """
    cached, note = _cached(address, files), ""
    if address.is_commit and cached is not None:
        snapshot = cached
    elif (unreachable := _ask(address, files[0], what)) is None:
        snapshot = _download(address, files, what)
    elif cached is not None:
        snapshot, note = cached, "; the hub cannot be reached, so this is what the cache has"
    else:
        raise InputError(f"{unreachable}; nothing of it is in the cache") from unreachable.__cause__
    if snapshot.address not in _told and is_first_process():
        asked = "" if address.is_commit else f" ({address.revision or 'main'})"
        print_line(f"hub         {snapshot.address.repository}: commit {snapshot.address.revision}{asked}{note}")
    _told.add(snapshot.address)
    return snapshot


def _ask(address: HubAddress, file: str, what: str) -> InputError | None:
    """Ask the hub for `file`, once: return what keeps it from answering; None where it can be fetched."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    try:
        with quiet_client():
            get_hf_file_metadata(hf_hub_url(address.repository, file, revision=address.revision), timeout=TIMEOUT_S)
    except EntryNotFoundError as error:
        raise HubFileMissingError(f"{address}: holds no {what}: it has no {file}") from error
    except Exception as error:  # whatever the client's transport raises
        reason = explain(address, error, "read")
        if (status := status_of(error)) is not None and status < 500:
            raise reason from error
        reason.__cause__ = error
        return reason
    return None


def _download(address: HubAddress, files: Sequence[str], what: str) -> Snapshot:
    """Fetch `files`: the first by the branch, whose commit the cache notes then, the others by that commit."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    settled, folder = address, Path()
    for file in files:
        try:
            with quiet_client():
                folder = Path(hf_hub_download(address.repository, file, revision=settled.revision)).parent
        except LocalEntryNotFoundError as error:  # the client's word for an answer that did not come
            raise explain(address, error, "read") from error
        except EntryNotFoundError as error:
            raise HubFileMissingError(f"{address}: holds no {what}: it has no {file}") from error
        except Exception as error:
            raise explain(address, error, "read") from error
        settled = replace(address, revision=folder.name)
    return Snapshot(folder, settled)


def _cached(address: HubAddress, files: Sequence[str]) -> Snapshot | None:
    """Return `files` of the commit that the cache last had of this revision; None unless it has all of them."""
    from huggingface_hub import try_to_load_from_cache

    first = try_to_load_from_cache(address.repository, files[0], revision=address.revision)
    if not isinstance(first, str):
        return None
    folder = Path(first).parent
    if not all((folder / file).is_file() for file in files):
        return None
    return Snapshot(folder, replace(address, revision=folder.name))
