"""Errors for users, one family: each has a message of one line with a remedy, and an exit code.

Messages name settings as Python does, between backticks: `optim.lr`. The command line shows them as its options.
"""

import contextlib
import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Literal

from globalconv.runtime.text import printable


class GlobalconvError(Exception):
    """Base of all errors for users. The message is one line: what, which value, what to do."""

    exit_code = 1


class InputError(GlobalconvError, ValueError):
    """The user's input (a file, an option, a setting) was refused.

    `globalconv data check` groups problems by `kind`; `samples` names all samples with this one.
    """

    exit_code = 2

    def __init__(self, message: str, kind: str = "", samples: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.kind, self.samples = kind, tuple(samples)


class InputWarning(UserWarning):
    """Something about the user's data that is read all the same, and that the user has to know of.

    Readers give it to `warnings.warn` when a data set is opened, once for all files that it is about. The command line
    prints it; `globalconv data check` makes a finding of it, as it does of an `InputError`.
    """

    def __init__(
        self, message: str, kind: str, samples: Sequence[str] = (), severity: Literal["warning", "note"] = "warning"
    ) -> None:
        super().__init__(message)
        self.kind, self.samples, self.severity = kind, tuple(samples), severity


class MissingPackageError(InputError):
    """A package that an extra brings is not installed."""


TRAIN_PACKAGES = (
    "torch", "torchvision", "timm", "huggingface_hub", "lightning_fabric", "safetensors", "jinja2", "markupsafe",
    "matplotlib",
)  # fmt: skip
"""What the extra `train` brings, as it is imported."""


@contextlib.contextmanager
def needing_train(what: str) -> Iterator[None]:
    """Turn the lack of a package of the extra `train` inside the block into a line that says `what` needs it.

    Blocks may lie in each other: the line names all of them, the outermost first.
    """
    try:
        yield
    except MissingPackageError as error:
        raise MissingPackageError(f"{what}: {error}") from error
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in TRAIN_PACKAGES:
            raise
        raise MissingPackageError(
            f'{what}: needs {package}, which is not installed here; pip install "globalconv[train]" brings it'
        ) from error


OnError = Callable[[InputError], None]
"""What a reader calls for a part of its input that it can leave out: `raise_error`, or a list's `append` to go on."""

Log = Callable[[str], None]
"""What long work calls with each line about itself: `print_line`, or a function that drops it."""


def raise_error(error: InputError) -> None:
    """Raise `error`."""
    raise error


class DivergedError(GlobalconvError):
    """Training stopped because the loss is no longer a finite number."""

    exit_code = 3


class StoppedError(BaseException):
    """A signal asked the process to stop and the state, if there was any, has been saved.

    Like `KeyboardInterrupt` it is no `Exception`, so that no `except Exception` takes it for a failed import, a damaged
    file or a failed download.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def suggest(name: object, names: Iterable[str]) -> str:
    """Return the end of a message about an unknown `name`: the most similar of `names`, then all of them."""
    names = sorted(names)
    close = difflib.get_close_matches(str(name), names, n=1) or [n for n in names if n.lower() == str(name).lower()]
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(names)}"


_SETTING = re.compile(r"`([a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*)`")
_naming_options = False


@contextlib.contextmanager
def settings_named_as_options() -> Iterator[None]:
    """Let `print_line` name settings as the command line does inside the block: `optim.lr` is --optim.lr."""
    global _naming_options  # noqa: PLW0603 (of the process, as standard error is)
    before, _naming_options = _naming_options, True
    try:
        yield
    finally:
        _naming_options = before


def as_options(text: str) -> str:
    """Return `text` with the settings that it names between backticks as options: `batch_size` as --batch-size."""
    return _SETTING.sub(lambda setting: f"--{setting[1].replace('_', '-')}", text)


def print_line(line: str) -> None:
    """Print `line` to standard error. A reader that has gone (`2>&1 | head`) is no error, nor is a disk that is full.

    Work goes on without its lines; whether it is done, its exit code says.
    """
    line = printable(as_options(line) if _naming_options else line)
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        discard_output(sys.stderr)


def discard_output(stream: IO[str]) -> None:
    """Point `stream`, whose reader has gone, at the null device, so that flushing it at exit raises nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
