"""One official archive over HTTP, continued where it was cut, and the checks that it is the official one.

A connection that is cut goes on where it was; a server that refuses for now is asked again. A file counts only when its
size and digest are those of the official one, as far as these are published.
"""

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from globalconv.data.download.catalogue import MB, Package, format_bytes
from globalconv.errors import InputError
from globalconv.runtime.files import naming_file
from globalconv.runtime.progress import Progress
from globalconv.runtime.text import one_line

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds before each further attempt, as long as none gets any farther than those before it."""

LONGEST_PAUSE = 120.0
"""The longest pause in seconds that a server may ask for."""

TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as cut."""

CHUNK = 2**18
"""Bytes that are read at a time."""

_DIGEST_BLOCK = 2**22
_TEMPORARY_FAILURES = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which it is worth asking again."""

_REMEDY = "look at the address in a browser, try again later, or name another server with `mirror`"


class _IncompleteError(Exception):
    """The file is not complete yet, and another attempt may bring the rest."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def download(address: str, target: Path, size: int, check: Callable[[Path], None]) -> None:
    """Download the `size` bytes at `address` to `target`, by way of `target`.part, which a later call continues.

    `check` raises `InputError` for a file that is not the right one; only a file that passes is renamed to `target`.
    A file that was put together from several calls and does not pass is downloaded once more in one piece.
    """
    part = target.with_name(f"{target.name}.part")
    continued = part.exists()
    _download_part(address, part, size)
    try:
        check(part)
    except InputError:
        part.unlink()
        if not continued:
            raise
        _download_part(address, part, size)
        try:
            check(part)
        except InputError:
            part.unlink()
            raise
    part.replace(target)


def _download_part(address: str, part: Path, size: int) -> None:
    """Attempt to complete `part` until it is, or until too many attempts in a row got no farther."""
    farthest, fruitless = part_size(part), 0
    with Progress(f"downloaded {part.stem}", size // MB, "MB", farthest // MB) as progress:
        while True:
            try:
                _attempt(address, part, size, progress)
                return
            except _IncompleteError as error:
                reached = part_size(part)
                fruitless = 0 if reached > farthest else fruitless + 1
                farthest = max(farthest, reached)
                if fruitless > len(PAUSES):
                    kept = f"{format_bytes(reached)} of {format_bytes(size)} are kept"
                    resume = f"; {kept}, and the same command goes on from there" if reached else ""
                    raise InputError(
                        f"{address}: given up after {fruitless} attempts in a row ({error}){resume}; {_REMEDY}"
                    ) from None
                pause = max(error.pause, PAUSES[max(fruitless - 1, 0)])
                progress.print(f"{part.stem}: {error} at {format_bytes(reached)}; going on in {pause:.3g} s")
                time.sleep(pause)


def _attempt(address: str, part: Path, size: int, progress: Progress) -> None:
    """Ask for the bytes that `part` lacks and append them; `_IncompleteError` if fewer came."""
    done = part_size(part)
    if done == size:
        return
    done = done if done < size else 0
    headers = {"User-Agent": "globalconv", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    try:
        with _http_opener().open(urllib.request.Request(address, headers=headers), timeout=TIMEOUT) as response:
            if response.status != 206:  # the server knows no ranges, and sends the file from its beginning
                done = 0
            elif not re.match(rf"bytes {done}-", response.headers.get("Content-Range", "")):
                raise _IncompleteError("the server sent another part than was asked for")
            offered = response.headers.get("Content-Length", "")
            if offered.isdigit() and done + int(offered) != size:
                raise InputError(
                    f"{address}: the server offers {done + int(offered)} bytes, the official file has {size}, so it is"
                    f" another one or an error page; {_REMEDY}"
                )
            with part.open("ab" if done else "wb") as file:
                while chunk := response.read(CHUNK):
                    done += len(chunk)
                    if done > size:
                        raise InputError(
                            f"{address}: the server sends more than the {size} bytes of the official file; {_REMEDY}"
                        )
                    with naming_file(part):
                        file.write(chunk)
                        file.flush()
                    progress.update(done // MB)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # the part does not fit the server's file
                part.unlink(missing_ok=True)
                raise _IncompleteError("the server has no such range") from None
            if error.code in _TEMPORARY_FAILURES:
                seconds = error.headers.get("Retry-After", "")
                pause = min(float(seconds), LONGEST_PAUSE) if seconds.isdigit() else 0.0
                raise _IncompleteError(f"the server answers {error.code}", pause) from None
            raise InputError(f"{address}: the server answers {error.code} ({error.reason}); {_REMEDY}") from None
    except (OSError, http.client.HTTPException) as error:  # URLError, time-outs, resets
        if isinstance(error, OSError) and error.filename is not None:  # of our own file: a full disk, say
            raise
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        reason = reason.strerror or reason if isinstance(reason, OSError) else reason
        raise _IncompleteError(one_line(reason if str(reason) else error)) from None
    if part_size(part) < size:
        raise _IncompleteError("the connection was cut")


def _http_opener() -> urllib.request.OpenerDirector:
    """Return what opens http and https, also after a redirection, and neither files nor ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler, urllib.request.UnknownHandler,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


def part_size(part: Path) -> int:
    """Return the bytes of a file that may not exist yet."""
    return part.stat().st_size if part.exists() else 0


def check_archive(archive: Path, package: Package) -> None:
    """Raise `InputError` unless `archive` has the size and the digest of the official file, as far as they are known.

    An archive of which neither is known is checked when it is unpacked: ZIP files carry a checksum of every member.
    """
    size = archive.stat().st_size
    remedy = "remove it and get it again"
    if package.size is not None and size != package.size:
        raise InputError(
            f"{archive}: has {size} bytes, the official {package.file} has {package.size}, so it is cut short or"
            f" another file; {remedy}"
        )
    kind, _, official = package.digest.partition(":")
    if not official:
        return
    state, done = hashlib.new(kind, usedforsecurity=False), 0
    with archive.open("rb") as file, Progress(f"checked {archive.name}", size // MB, "MB") as progress:
        while block := file.read(_DIGEST_BLOCK):
            state.update(block)
            done += len(block)
            progress.update(done // MB)
    if (digest := state.hexdigest()) != official:
        raise InputError(
            f"{archive}: its {kind.upper()} is {digest}, that of the official {package.file} is {official}, so it was"
            f" damaged or altered on its way; {remedy}"
        )


def missing_files(root: Path, package: Package) -> list[str]:
    """Return what the folder `root` of a data set lacks of a package, in words; nothing where it is complete."""
    counts = {pattern: sum(1 for _ in root.glob(pattern)) for pattern, _ in package.holds}
    return [
        f"{counts[pattern]} of {least} files {pattern}" for pattern, least in package.holds if counts[pattern] < least
    ]
