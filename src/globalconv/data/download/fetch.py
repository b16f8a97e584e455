"""Whether an archive is the official one, and whether what it held is all there.

One file over HTTP, whatever the connection does: cut, it goes on where it was; refused for now, it tries again.
"""

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from globalconv.data.download.catalogue import Package, in_words
from globalconv.errors import InputError
from globalconv.runtime.files import naming_file
from globalconv.runtime.progress import Progress
from globalconv.runtime.text import one_line

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds before each further attempt, as long as none gets any farther than those before it."""

LONGEST_PAUSE = 120.0
"""A server may ask for more time, but not for more than this."""

TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as cut."""

CHUNK = 2**18
MB = 10**6

_FOR_NOW = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which it is worth asking again."""

_ASK_ELSEWHERE = "look at the address in a browser, try again later, or name another server with `mirror`"


class _CutError(Exception):
    """The file is not complete yet, and another attempt may bring the rest."""

    def __init__(self, why: str, pause: float = 0.0) -> None:
        super().__init__(why)
        self.pause = pause


def download(address: str, target: Path, size: int, check: Callable[[Path], None]) -> None:
    """Bring the `size` bytes at `address` to `target`, by way of `target`.part, which a later call continues.

    `check` raises `InputError` for a file that is not the right one; nothing is called `target` before it has agreed.
    What was put together from several calls is fetched once more in one piece before that is believed.
    """
    part = target.with_name(f"{target.name}.part")
    pieces = part.exists()
    _fetch(address, part, size)
    try:
        check(part)
    except InputError:
        part.unlink()
        if not pieces:
            raise
        _fetch(address, part, size)
        try:
            check(part)
        except InputError:
            part.unlink()
            raise
    part.replace(target)


def _fetch(address: str, part: Path, size: int) -> None:
    """Attempt to complete `part` until it is, or until too many attempts in a row got no farther."""
    farthest, fruitless = _length(part), 0
    with Progress(f"downloaded {part.stem}", size // MB, "MB", farthest // MB) as progress:
        while True:
            try:
                _attempt(address, part, size, progress)
                return
            except _CutError as error:
                reached = _length(part)
                fruitless = 0 if reached > farthest else fruitless + 1
                farthest = max(farthest, reached)
                if fruitless > len(PAUSES):
                    kept = (
                        f"; {in_words(reached)} of {in_words(size)} are kept, and the same command goes on from there"
                    )
                    raise InputError(
                        f"{address}: given up after {fruitless} attempts in a row ({error}){kept if reached else ''};"
                        f" {_ASK_ELSEWHERE}"
                    ) from None
                pause = max(error.pause, PAUSES[max(fruitless - 1, 0)])
                progress.print(f"{part.stem}: {error} at {in_words(reached)}; going on in {pause:.3g} s")
                time.sleep(pause)


def _attempt(address: str, part: Path, size: int, progress: Progress) -> None:
    """Ask for what `part` lacks and append it; `_CutError` where less came."""
    have = _length(part)
    if have == size:
        return
    have = have if have < size else 0
    try:
        with _open(address, have) as response:
            start = _start_of(response, have)
            _check_length(address, response, start, size)
            _receive(address, response, part, start, size, progress)
    except urllib.error.HTTPError as error:
        _judge(address, error, part)
    except (OSError, http.client.HTTPException) as error:  # urllib's own, time-outs, resets; a full disk is none
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise _CutError(_reason(error)) from None
    if _length(part) < size:
        raise _CutError("the connection was cut")


def _open(address: str, have: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "globalconv", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(address, headers=headers)  # only http and https get here
    response: http.client.HTTPResponse = _opener().open(request, timeout=TIMEOUT)
    return response


def _opener() -> urllib.request.OpenerDirector:
    """Return what opens http and https, also after a redirection, and neither files nor ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler, urllib.request.UnknownHandler,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


def _start_of(response: http.client.HTTPResponse, have: int) -> int:
    """Return the place in the file at which the answer begins: `have`, or 0 from a server that knows no ranges."""
    if response.status != 206:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != have:
        raise _CutError("the server sent another part than was asked for")
    return have


def _check_length(address: str, response: http.client.HTTPResponse, start: int, size: int) -> None:
    offered = response.headers.get("Content-Length", "")
    if offered.isdigit() and start + int(offered) != size:
        raise InputError(
            f"{address}: the server offers {start + int(offered)} bytes, the official file has {size}, so it is"
            f" another one or an error page; {_ASK_ELSEWHERE}"
        )


def _receive(
    address: str, response: http.client.HTTPResponse, part: Path, start: int, size: int, progress: Progress
) -> None:
    """Append what comes; a stop in between leaves what has come."""
    with part.open("ab" if start else "wb") as file:
        done = start
        while chunk := response.read(CHUNK):
            done += len(chunk)
            if done > size:
                raise InputError(
                    f"{address}: the server sends more than the {size} bytes of the official file; {_ASK_ELSEWHERE}"
                )
            with naming_file(part):
                file.write(chunk)
                file.flush()
            progress.update(done // MB)


def _judge(address: str, error: urllib.error.HTTPError, part: Path) -> None:
    """Turn an answer that brings no file into another attempt or a refusal."""
    with error:
        if error.code == 416:  # what is there does not fit the server's file
            part.unlink(missing_ok=True)
            raise _CutError("the server has no such range") from None
        if error.code in _FOR_NOW:
            asked = error.headers.get("Retry-After", "")
            pause = min(float(asked), LONGEST_PAUSE) if asked.isdigit() else 0.0
            raise _CutError(f"the server answers {error.code}", pause) from None
        raise InputError(f"{address}: the server answers {error.code} ({error.reason}); {_ASK_ELSEWHERE}") from None


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    reason = reason.strerror or reason if isinstance(reason, OSError) else reason
    return one_line(reason if str(reason) else error)


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


_BLOCK = 2**22


def check_archive(archive: Path, package: Package) -> None:
    """Raise `InputError` unless `archive` has the size and the digest of the official file, as far as they are known.

    What has neither is proven when it is unpacked: ZIP files carry a checksum of every member.
    """
    size = archive.stat().st_size
    remedy = "remove it and get it again"
    if package.size is not None and size != package.size:
        raise InputError(
            f"{archive}: has {size} bytes, the official {package.file} has {package.size}, so it is cut short or"
            f" another file; {remedy}"
        )
    kind, _, expected = package.digest.partition(":")
    if expected and (found := _digest(archive, kind)) != expected:
        raise InputError(
            f"{archive}: its {kind.upper()} is {found}, that of the official {package.file} is {expected}, so it was"
            f" damaged or altered on its way; {remedy}"
        )


def missing(root: Path, package: Package) -> list[str]:
    """Return what the folder `root` of a data set lacks of a package, in words; nothing where it is complete."""
    counts = {pattern: sum(1 for _ in root.glob(pattern)) for pattern, _ in package.holds}
    return [
        f"{counts[pattern]} of {least} files {pattern}" for pattern, least in package.holds if counts[pattern] < least
    ]


def _digest(archive: Path, kind: str) -> str:
    state = hashlib.new(kind, usedforsecurity=False)
    done = 0
    with (
        archive.open("rb") as file,
        Progress(f"checked {archive.name}", archive.stat().st_size // MB, "MB") as progress,
    ):
        while block := file.read(_BLOCK):
            state.update(block)
            done += len(block)
            progress.update(done // MB)
    return state.hexdigest()
