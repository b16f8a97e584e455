"""Archives in memory: official ones in miniature, and hostile ones."""

import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence


def tar_of(files: Mapping[str, bytes], mode: str = "w", more: Sequence[tarfile.TarInfo] = ()) -> bytes:
    """Return a tape of `files` (name -> content), then of members without content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tape:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tape.addfile(member, io.BytesIO(content))
        for member in more:
            tape.addfile(member)
    return stream.getvalue()


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    """Return a member of some kind."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, size
    return member


def zip_of(
    files: Mapping[str, bytes] | Sequence[tuple[str, bytes]], modes: Mapping[str, int] | None = None, flags: int = 0
) -> bytes:
    """Return a ZIP file of `files`; `modes` are Unix modes of members, `flags` are set in every member's header."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items() if isinstance(files, Mapping) else files:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (modes or {}).get(name, 0o100644) << 16
            archive.writestr(info, content)
    content = stream.getvalue()
    if flags:  # in the table of contents, which is what is read
        place = -1
        while (place := content.find(b"PK\x01\x02", place + 1)) >= 0:
            content = content[: place + 8] + flags.to_bytes(2, "little") + content[place + 10 :]
    return content
