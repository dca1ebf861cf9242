# SPDX-License-Identifier: BSD-3-Clause
"""The `fastconv` command: one table of sub-commands, and what every one of them does about errors.

Exit codes: 0 done; 1 the work failed; 2 the command line is wrong; 130 interrupted. An error one can expect
is a message on standard error; an unexpected one keeps its traceback, for the bug report.
"""

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastconv._extras import MissingExtra
from fastconv.commands import CommandError, UsageError
from fastconv.errors import DataError, ShapeError, WeightsError

FAILURE, USAGE, INTERRUPTED = 1, 2, 130

EXPECTED = (CommandError, DataError, MemoryError, MissingExtra, OSError, ShapeError, WeightsError)


class Command(NamedTuple):
    """A sub-command. Its module is imported only to run it, so that no command pays for another."""

    module: str
    summary: str


COMMANDS = {
    "train": Command("fastconv.commands.train", "train a network on real images and report on every layer"),
    "bench": Command("fastconv.commands.bench", "time published layers against torch and onnxruntime"),
    "explain": Command("fastconv.commands.explain", "tell how a layer or a model is computed, why, and how fast"),
    "filter": Command("fastconv.commands.filter", "run an image filter on a picture and write the result"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, by default sys.argv's; returns the exit code.

    argparse raises SystemExit(2) itself for a wrong command line, and SystemExit(0) after --help.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            _run(sys.argv[1:] if arguments is None else arguments)
        except KeyboardInterrupt:
            return _fail("interrupted; files written before are complete", INTERRUPTED)
        except BrokenPipeError:
            return _reader_has_gone()
        except EXPECTED as error:
            return _fail(f"error: {error}", FAILURE)
    return 0


def _run(arguments: Sequence[str]) -> None:
    """Two parsers in a row, so that only the module of the command that was named is imported."""
    width = max(map(len, COMMANDS))
    first = argparse.ArgumentParser(
        prog="fastconv",
        description="Convolutional networks at the speed limit of a CPU.",
        epilog="commands:\n"
        + "\n".join(f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="fastconv COMMAND [OPTIONS]",
    )
    first.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    first.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="COMMAND --help lists them")
    chosen = first.parse_args(arguments)
    command = COMMANDS[chosen.command]
    module = importlib.import_module(command.module)
    second = argparse.ArgumentParser(
        prog=f"fastconv {chosen.command}", description=command.summary, allow_abbrev=False
    )
    module.add_options(second)
    options = second.parse_args(chosen.options)
    try:
        module.run(options)
    except UsageError as error:
        second.error(str(error))


def _fail(message: str, code: int) -> int:
    print(f"fastconv: {message}", file=sys.stderr)
    return code


def _reader_has_gone() -> int:
    """Whoever read our output has closed it, as `head` does. What is buffered must not raise at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILURE


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"fastconv: warning: {message}", file=sys.stderr)
