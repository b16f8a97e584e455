"""`globalconv VERB ...`: find the verb, hand over, turn what is raised into one line and an exit code."""

import atexit
import importlib
import io
import os
import sys
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from globalconv.errors import (
    GlobalconvError,
    InputError,
    StoppedError,
    discard_output,
    print_line,
    settings_named_as_options,
    suggest,
)
from globalconv.runtime.memory import keep_freed_memory
from globalconv.runtime.processes import is_first_process
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import one_line

VERBS = {
    "demo": "train and compare two small networks on built-in scenes; writes the report of both",
    "recipes": "list the recipes: what each is, costs and reaches",
    "data": "check a data set before it costs a night; download an official one; write generated scenes",
    "train": "train a recipe on a data set into a run folder",
    "pretrain": "pre-train a backbone on images with a class each, as ImageNet's",
    "evaluate": "score a trained network, or a folder of class maps, on a data set",
    "report": "write a page about a run, or compare several: scores, curves, images, what to try next",
    "predict": "segment images: class map and overlay of each, at its own size",
    "submit": "predict a test split and pack it as the servers of PASCAL VOC and Cityscapes take it",
    "cost": "say what a network costs, block by block, or compare kernel sizes and heads: weights, work, memory, time",
    "vrf": "show the receptive field of a pixel, network beside network (Figure 3)",
    "paper": "make the paper's tables: train what they compare, print it beside the printed numbers",
    "advise": "say which kernel size the objects of a data set ask for, and what it costs",
    "crf-search": "find the parameters of a CRF on one part of a data set, and show on another what they are worth",
}
"""Every verb and its one line; `globalconv.cli.VERB` (with _ for -) holds `run(arguments, stop)`."""

USAGE = """globalconv: semantic segmentation with large kernels (Global Convolutional Network)

usage: globalconv VERB [options]      globalconv VERB --help      globalconv --version

{verbs}

Exit codes: 0 done; 2 input refused or skipped; 3 training diverged; 130, 143 stopped with the state saved; 1 our fault.
"""


def command() -> NoReturn:
    """Be the program: run one command and end the process with its exit code.

    All is done that is done at the end of a process, but what has been loaded is not taken apart, which would take a
    second where torch is loaded. `multiprocessing` ends its processes in the same way. A command that raises ends as
    any program does.
    """
    code = main()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):  # no reader any more, or no stream: Python knows what to say
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(code)
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # file names need not be text in any encoding
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with settings_named_as_options():
        try:
            with StopRequest().listening() as stop, warnings.catch_warnings():
                warnings.showwarning = _warn
                return _dispatch(given, stop)
        except (GlobalconvError, StoppedError) as error:
            return _complain(str(error), error.exit_code)
        except BrokenPipeError:
            discard_output(sys.stdout)  # Whoever read our output has gone (`| head`); nothing is left to say.
            return 0
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            return _complain(f"{where}{error.strerror or error}; check the path, its permissions and the disk", 2)


def _dispatch(given: list[str], stop: StopRequest) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        width = max(map(len, VERBS))
        print(USAGE.format(verbs="\n".join(f"  {verb:<{width}}  {line}" for verb, line in VERBS.items())), end="")
        return 0
    if given[0] == "--version":
        from globalconv import __version__

        print(f"globalconv {__version__}")
        return 0
    verb, *rest = given
    if verb not in VERBS:
        raise InputError(f"{verb!r} is no verb of globalconv; {suggest(verb, VERBS)}")
    keep_freed_memory()
    module = importlib.import_module(f"globalconv.cli.{verb.replace('-', '_')}")
    code: int = module.run(rest, stop)
    return code


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """Show a warning as a line, without the place in the code that nobody asked for."""
    if is_first_process():
        print_line(f"warning: {one_line(message, limit=None)}")


def _complain(message: str, code: int) -> int:
    print_line(f"globalconv: {one_line(message, limit=None)}")
    return code


if __name__ == "__main__":
    command()
