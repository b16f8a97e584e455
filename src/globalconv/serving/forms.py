"""Files out of a multipart form that is in memory; nothing goes to a temporary file."""

from http import HTTPStatus

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from globalconv.data.image_bytes import ImageBytes
from globalconv.runtime.text import cut_middle, one_line
from globalconv.serving.refusals import RefusedRequest

MAX_FIELDS = 100
"""Parts of a form that are no files, at most; they are left out."""


def files_of(content: bytes, content_type: str, most: int) -> list[ImageBytes]:
    """Return the files of a form, in their order; refuse what is no form, or has none or more than `most`."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise _refusal("`Content-Type` multipart/form-data: names no boundary; send image bytes, or a whole form")
    parts = _Parts(most)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_field": lambda data, start, end: parts.header.extend(data[start:end]),
                "on_header_value": lambda data, start, end: parts.value.extend(data[start:end]),
                "on_header_end": parts.end_header,
                "on_headers_finished": parts.end_headers,
                "on_part_data": parts.extend,
                "on_end": parts.end,
            },
        )
        parser.write(content)
        parser.finalize()
    except FormParserError as error:
        raise _refusal(f"`body`: is no multipart form ({one_line(error, 80)}); send image bytes, or a form") from None
    if not parts.ended:
        raise _refusal("`body`: the form ends early; send all of it")
    if not parts.files:
        raise _refusal("`body`: a form without a file; send an image as one")
    return [ImageBytes(bytes(body), cut_middle(name, 120)) for name, body in parts.files]


def _refusal(message: str) -> RefusedRequest:
    return RefusedRequest(HTTPStatus.BAD_REQUEST, message)


class _Parts:
    """Collects the files of a form; its methods are called as the parser comes to what they are named after."""

    def __init__(self, most: int) -> None:
        self.most, self.ended = most, False
        self.files: list[tuple[str, bytearray]] = []
        self._fields = 0
        self.header, self.value = bytearray(), bytearray()
        self._disposition = b""
        self._body: bytearray | None = None

    def begin(self) -> None:
        self._disposition, self._body = b"", None

    def end_header(self) -> None:
        if self.header.lower() == b"content-disposition":
            self._disposition = bytes(self.value)
        self.header.clear()
        self.value.clear()

    def end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise _refusal(f"`body`: a form of more than {MAX_FIELDS} fields; send images alone")
            return
        if len(self.files) == self.most:
            raise _refusal(f"`body`: a form of more than {self.most} files; send at most {self.most} here")
        self._body = bytearray()
        self.files.append((options[b"filename"].decode("utf-8", "replace") or "image", self._body))

    def extend(self, data: bytes, start: int, end: int) -> None:
        if self._body is not None:
            self._body += data[start:end]

    def end(self) -> None:
        self.ended = True
