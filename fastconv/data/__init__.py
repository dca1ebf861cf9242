# SPDX-License-Identifier: BSD-3-Clause
"""Real images to learn from: `load("digits")`, `load("mnist", directory)`.

To add a data set: one file with a function `directory -> Dataset`, and one row in SOURCES.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fastconv.data.dataset import Batch, Dataset, batches
from fastconv.data.digits import load_digits
from fastconv.data.mnist import load_mnist
from fastconv.errors import DataError

__all__ = ["SOURCES", "Batch", "DataError", "Dataset", "Source", "batches", "load"]


class Source(NamedTuple):
    """Where a data set comes from. load takes the directory of its files; None means the cache."""

    load: Callable[[Path | None], Dataset]
    reads_directory: bool


SOURCES = {
    "digits": Source(lambda directory: load_digits(), reads_directory=False),
    "mnist": Source(load_mnist, reads_directory=True),
}


def load(name: str, directory: str | Path | None = None) -> Dataset:
    """The data set `name`, one of SOURCES.

    directory: where the files of a data set that has files lie; by default the cache directory.

    Raises ValueError for an unknown name, or a directory for a data set without files; DataError for absent
    or malformed files; MissingExtra where a package to read or download it is absent.

    >>> load("digits").train_images.shape
    (1437, 1, 28, 28)
    """
    if name not in SOURCES:
        raise ValueError(f"name must be one of {', '.join(map(repr, SOURCES))}, got {name!r}")
    source = SOURCES[name]
    if directory is not None and not source.reads_directory:
        raise ValueError(f"directory must be None for {name!r}, which has no files, got {str(directory)!r}")
    return source.load(None if directory is None else Path(directory))
