"""Files into a repository on the hub: opened with checks before the work that makes them, then sent in one commit.

The client sends a large file's content only where the hub has not got it, and leaves equal files out of the commit: a
second attempt after a cut connection sends what is missing.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from globalconv.errors import InputError
from globalconv.hub.address import HubAddress
from globalconv.hub.client import LOG_IN, explain, quiet_client, status_of
from globalconv.hub.download import TIMEOUT_S

BARE = (".gitattributes", "README.md", "LICENSE")
"""Files that a repository may have from its first day on, before anything was published in it."""


@dataclass(frozen=True)
class OpenRepository:
    """A repository that may be written to, and what its branch holds."""

    address: HubAddress
    """With the branch as its revision, where that is not the default one."""
    files: Collection[str]
    commit: str


@dataclass(frozen=True)
class Published:
    """What came of sending files: the commit, and its page."""

    address: HubAddress
    """With the commit as its revision."""
    page: str
    changed: bool
    """Whether there was anything new in the files."""


def open_repository(address: HubAddress, private: bool, belongs: Callable[[Collection[str]], bool]) -> OpenRepository:
    """Return the repository, made where there is none, `private` if so, with the branch that `address` names.

    `belongs` says of the names of files in a repository whether they are of what is to be published; a repository that
    holds other things is refused, and a public one that should be private. `InputError` without a token or the right to
    write.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    api, repository = HfApi(), address.repository
    if get_token() is None:
        raise InputError(f"{address}: publishing needs a token of the hub with the right to write; {LOG_IN}")
    try:
        with quiet_client():
            try:
                info = api.model_info(repository, timeout=TIMEOUT_S)
            except RepositoryNotFoundError:
                api.create_repo(repository, private=True if private else None, exist_ok=True)
                info = api.model_info(repository, timeout=TIMEOUT_S)
            _check_repository(address, bool(info.private), _names(info), private, belongs)
            if address.revision is not None:
                try:
                    info = api.model_info(repository, revision=address.revision, timeout=TIMEOUT_S)
                except RevisionNotFoundError:
                    api.create_branch(repository, branch=address.revision, exist_ok=True)
                    info = api.model_info(repository, revision=address.revision, timeout=TIMEOUT_S)
                _check_repository(address, bool(info.private), _names(info), private, belongs)
    except InputError:
        raise
    except Exception as error:  # whatever the client's transport raises
        raise explain(address, error, "write to") from error
    return OpenRepository(address, _names(info), str(info.sha))


def _names(info: object) -> list[str]:
    return [sibling.rfilename for sibling in getattr(info, "siblings", None) or ()]


def _check_repository(
    address: HubAddress,
    is_private: bool,
    files: Collection[str],
    private: bool,
    belongs: Callable[[Collection[str]], bool],
) -> None:
    if private and not is_private:
        raise InputError(
            f"{address}: is there already and is public; make it private on its page, or leave out `private`, or give"
            " another name"
        )
    others = [name for name in files if name not in BARE]
    if others and not belongs(files):
        listed = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        raise InputError(f"{address}: the name is taken by something else ({listed}); give another name")


def publish(repository: OpenRepository, files: Mapping[str, Path], replaces: str, message: str) -> Published:
    """Send `files`, by their names in the repository, in one commit with `message`; return where they are.

    Files there that match the pattern `replaces` and are not among `files` are removed: they were of an earlier
    publication. `InputError` where the connection is cut or the hub refuses; the same call goes on then.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi

    address, api = repository.address, HfApi()
    outdated = [name for name in repository.files if fnmatch(name, replaces) and name not in files]
    operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
        *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(path)) for name, path in files.items()),
        *(CommitOperationDelete(path_in_repo=name) for name in outdated),
    ]
    try:
        with quiet_client():
            done = api.create_commit(
                address.repository, operations, commit_message=message, revision=address.revision
            )  # fmt: skip
    except Exception as error:  # whatever the client's transport raises
        reason = explain(address, error, "write to")
        if status_of(error) is None:
            reason = InputError(f"{reason}; what has arrived is not sent again")
        raise reason from error
    commit = HubAddress(address.repository, done.oid)
    return Published(commit, f"{api.endpoint}/{address.repository}", done.oid != repository.commit)
