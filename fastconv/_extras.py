# SPDX-License-Identifier: BSD-3-Clause
"""Optional dependencies: imported where they are used, with an error that says what to install."""

import importlib
from typing import Any


class MissingExtra(ImportError):
    """A package that only an extra of fastconv installs is not there."""


def require(module: str, extra: str) -> Any:
    """Import `module`, which `pip install "fastconv[<extra>]"` installs.

    Raises MissingExtra, whose message is that command, if the module itself is absent. A module that is there
    and fails to import keeps its own error.

    >>> require("math", extra="demo").sqrt(4.0)
    2.0
    """
    package = module.partition(".")[0]
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingExtra(
            f'{package} is not installed. Install it with: pip install "fastconv[{extra}]"', name=package
        ) from None
    return importlib.import_module(module)
