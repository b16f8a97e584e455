"""What the hub's client raises, as one line each with a remedy; and the client kept quiet.

The client is huggingface_hub, which takes a third of a second to import: it is imported where an address is given.
"""

import contextlib
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from globalconv.errors import InputError
from globalconv.hub.address import HubAddress, is_address, shown_path
from globalconv.runtime.text import one_line

LOG_IN = "log in with hf auth login, or set HF_TOKEN"


@contextlib.contextmanager
def quiet_client() -> Iterator[None]:
    """Keep the client's own lines from standard error inside the block, and its bars where no terminal shows them."""
    client: Any = import_module("huggingface_hub.utils")  # which exports these without saying so
    verbosity, hidden = client.logging.get_verbosity(), client.are_progress_bars_disabled()
    client.logging.set_verbosity_error()
    if not sys.stderr.isatty() and not hidden:
        client.disable_progress_bars()
    try:
        yield
    finally:
        client.logging.set_verbosity(verbosity)
        if not hidden:
            client.enable_progress_bars()


@contextlib.contextmanager
def naming_repository(path: Path) -> Iterator[None]:
    """Say in an `InputError` about a file of the hub's cache, where `path` is an address, which repository it is of."""
    try:
        yield
    except InputError as error:
        if not is_address(path) or str(error).startswith("hf://"):
            raise
        raise InputError(f"{shown_path(path)}: {error}") from error


def explain(address: HubAddress, error: Exception, doing: str) -> InputError:
    """Return what the client raised while it was `doing` something ("read", "write to") with a repository."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    error, status = _cause(error), status_of(error)
    said = one_line(getattr(error, "server_message", None) or error)
    again = "check the network, then give the same command again"
    if isinstance(error, OfflineModeIsEnabled):
        reason = "HF_HUB_OFFLINE is set; unset it to go online"
    elif isinstance(error, GatedRepoError):
        reason = f"its authors have to let you in first; ask for it on the repository's page, then {LOG_IN}"
    elif isinstance(error, RevisionNotFoundError):
        reason = "the repository has no such revision; name a branch, a tag or a commit of it"
    elif isinstance(error, RepositoryNotFoundError) and doing == "read":
        reason = f"there is no such repository, or you may not see it; check the name, and if it is private {LOG_IN}"
    elif isinstance(error, EntryNotFoundError) and status is not None:
        reason = f"a file is not there ({said})"
    elif status == 401:
        reason = f"the hub does not know you, or no longer; {LOG_IN}"
    elif status == 403:
        reason = f"you may not {doing} it ({said}); use a token with that right, or a repository of your own"
    elif status == 404:
        reason = f"there is no such place ({said}); check the name"
    elif status == 429:
        reason = "the hub has had too many requests from here; wait some minutes, then give the same command again"
    elif status is not None and status >= 500:
        reason = f"the hub fails (HTTP {status}); give the same command again later"
    elif status is not None:
        reason = f"the hub refuses it (HTTP {status}: {said}); change what it names"
    else:
        reason = f"the connection to the hub failed or was cut ({said}); {again}"
    return InputError(f"{address}: {reason}")


def status_of(error: Exception) -> int | None:
    """Return the status of the answer that the client raised `error` about; None where none came."""
    status: int | None = getattr(getattr(_cause(error), "response", None), "status_code", None)
    return status


def _cause(error: Exception) -> Exception:
    """Return the error that others were raised from: the one with an answer of the hub, else the first."""
    while getattr(error, "response", None) is None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error
