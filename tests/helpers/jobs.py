"""Jobs for worker processes, which import them by name."""

import os

from globalconv.errors import InputError
from globalconv.runtime.processes import CHUNK


def square(number: int) -> int:
    return number * number


def large(number: int) -> bytes:
    """Return more than a pipe holds, so that its sender waits in the middle of it until somebody reads."""
    return bytes(2**24)


def refuse(number: int) -> int:
    if number == CHUNK + 1:
        raise InputError("named; remedy", kind="a kind", samples=["a", "b"])
    return number


def die(number: int) -> int:
    if number == CHUNK + 1:
        os._exit(1)
    return number


def refuse_to_start() -> None:
    raise InputError("no start")
