# SPDX-License-Identifier: BSD-3-Clause
"""The sub-commands of `fastconv`, a module each, with

    add_options(parser)   declares its options
    run(options)          does the work, and returns when it went well

To add one: such a module, and a row in fastconv.cli.COMMANDS. This file has what they share.
"""

import argparse
import math
from collections.abc import Callable


class UsageError(Exception):
    """The command line is wrong in a way that only the command could find out. Exit code 2."""


class CommandError(Exception):
    """The command line is right, and the work failed. Exit code 1."""


def integer(low: int, high: int = 2**63 - 1) -> Callable[[str], int]:
    """The `type` of an option that takes an integer from low to high."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            upper = f" to {high}" if high < 2**63 - 1 else " or more"
            raise argparse.ArgumentTypeError(f"got {text!r}, expected an integer of {low}{upper}")
        return value

    return parse


def positive(text: str) -> float:
    """The `type` of an option that takes a number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0")
    return value
