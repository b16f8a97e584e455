"""`globalconv VERB ...`: run a verb, and turn its errors into one line and an exit code."""

import atexit
import importlib
import io
import os
import sys
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from globalconv.errors import (
    GlobalconvError,
    InputError,
    InputWarning,
    StoppedError,
    discard_output,
    needing_train,
    print_line,
    settings_named_as_options,
    suggest,
)
from globalconv.runtime.memory import keep_freed_memory
from globalconv.runtime.processes import is_first_process
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import one_line, print_text

VERBS = {
    "demo": "train and compare two small networks on built-in scenes; writes the report of both",
    "recipes": "list the recipes: what each is, costs and reaches",
    "data": "check a data set before it costs a night; download an official one; write generated scenes",
    "train": "train a recipe on a data set into a run folder",
    "pretrain": "pre-train a backbone on images with a class each, as ImageNet's",
    "evaluate": "score a trained network, or a folder of class maps, on a data set",
    "report": "write a page about a run, or compare several: scores, curves, images, what to try next",
    "card": "write the model card of a run: data, scores with intervals, settings, licence, limits, how to use it",
    "push": "publish a network on the hub, with its model card; hf://USER/NAME names it then",
    "predict": "segment images: class map and overlay of each, at its own size",
    "export": "write a trained network as a file of ONNX, OpenVINO or torch.export, and prove that it agrees",
    "serve": "answer requests over HTTP with a trained network, and show a page to try it in a browser",
    "submit": "predict a test split and pack it as the servers of PASCAL VOC and Cityscapes take it",
    "cost": "say what a network costs, block by block, or compare kernel sizes and heads: weights, work, memory, time",
    "vrf": "show the receptive field of a pixel, network beside network (Figure 3)",
    "paper": "make the paper's tables: train the networks that they compare, print ours beside the paper's numbers",
    "advise": "recommend a kernel size for the objects of a data set, with its cost",
    "crf-search": "find the parameters of a CRF on one part of a data set, and score them on another",
}
"""Every verb with a line of help. `globalconv.cli.VERB` (with _ for -) has `run(arguments, stop)`."""

USAGE = """globalconv: semantic segmentation with large kernels (Global Convolutional Network)

usage: globalconv VERB [options]      globalconv VERB --help      globalconv --version

{verbs}

Exit codes: 0 done; 2 input refused or skipped; 3 training diverged; 130, 143 stopped, the state saved; 1 our fault."""


def command() -> NoReturn:
    """Run one command as the whole program, and end the process with its exit code.

    Once torch is imported, an ordinary exit takes another second to free its objects (1.2 s against 0.04 s, median of
    5), or, where they are exempt from garbage collection as after `fast_imports`, prints a page of "leaked" objects of
    its bindings. So the process ends as those of `multiprocessing` do: threads, exit functions and streams are
    finished, objects are not freed. A command that raises ends as any program does.
    """
    for number in range(3):  # a stream that is closed (`>&-`) is nobody's: no file that is opened later takes its place
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # No process that is started here takes an `enum.py` of the folder that it runs in for Python's.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    code = main()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):  # a closed or missing stream: the ordinary exit reports it
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(code)
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    verb, *options = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    for stream in (sys.stdout, sys.stderr):  # file names need not be text in any encoding
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    printed: set[str] = set()

    def print_warning(message: Warning | str, *_: object, **__: object) -> None:
        severity = message.severity if isinstance(message, InputWarning) else "warning"
        line = f"{severity}: {one_line(message, limit=None)}"
        if is_first_process() and line not in printed:
            printed.add(line)
            print_line(line)

    with settings_named_as_options():
        try:
            with StopRequest().listening() as stop, warnings.catch_warnings():
                warnings.showwarning = print_warning
                warnings.simplefilter("always", InputWarning)  # Python shows one of a line of code alone
                if verb in ("-h", "--help", "help"):
                    width = max(map(len, VERBS))
                    verbs = "\n".join(f"  {name:<{width}}  {line}" for name, line in VERBS.items())
                    print_text(USAGE.format(verbs=verbs))
                    return 0
                if verb == "--version":
                    from globalconv import __version__

                    print_text(f"globalconv {__version__}")
                    return 0
                if verb not in VERBS:
                    raise InputError(f"{verb!r} is no verb of globalconv; {suggest(verb, VERBS)}")
                if not _folder_is_there():
                    raise InputError("the folder that this runs in has been removed; change to one that is there")
                keep_freed_memory()
                with needing_train(verb):
                    module = importlib.import_module(f"globalconv.cli.{verb.replace('-', '_')}")
                    code: int = module.run(options, stop)
                return code
        except (GlobalconvError, StoppedError) as error:
            message, code = str(error), error.exit_code
        except BrokenPipeError:
            discard_output(sys.stdout)  # the reader of the output has gone (`| head`)
            return 0
        except MemoryError as error:
            message, code = f"not enough memory ({one_line(error)}); give smaller images, or smaller numbers", 2
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            message, code = f"{place}{error.strerror or error}; check the path, its permissions and the disk", 2
        print_line(f"globalconv: {one_line(message, limit=None)}")
        return code


def _folder_is_there() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    command()
