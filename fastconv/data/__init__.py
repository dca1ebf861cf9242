# SPDX-License-Identifier: BSD-3-Clause
"""Real images to learn from: `load("digits")`, `load("mnist", directory)`, and how they are fed to a network.

    load, load_digits, load_mnist, load_fashion_mnist, load_cifar10     published data sets
    load_image_folder, ImageFolder, read_image                          images of one's own
    DataLoader, batches                                                 epochs of batches
    transforms                                                          random changes of whole batches

To add a data set: one file with a function `directory -> Dataset`, and one row in SOURCES.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fastconv.data import transforms
from fastconv.data.cache import cache_directory
from fastconv.data.cifar import load_cifar10
from fastconv.data.dataset import Batch, Dataset, batches
from fastconv.data.digits import load_digits
from fastconv.data.folder import ImageFolder, load_image_folder, read_image
from fastconv.data.loader import DataLoader
from fastconv.data.mnist import load_fashion_mnist, load_mnist
from fastconv.errors import DataError

__all__ = [
    "SOURCES",
    "Batch",
    "DataError",
    "DataLoader",
    "Dataset",
    "ImageFolder",
    "Source",
    "batches",
    "cache_directory",
    "load",
    "load_cifar10",
    "load_digits",
    "load_fashion_mnist",
    "load_image_folder",
    "load_mnist",
    "read_image",
    "transforms",
]


class Source(NamedTuple):
    """Where a data set comes from. load takes the directory of its files; None means the cache."""

    load: Callable[[Path | None], Dataset]
    reads_directory: bool
    image_shape: tuple[int, int, int]


SOURCES = {
    "digits": Source(lambda directory: load_digits(), reads_directory=False, image_shape=(1, 28, 28)),
    "mnist": Source(load_mnist, reads_directory=True, image_shape=(1, 28, 28)),
    "fashion-mnist": Source(load_fashion_mnist, reads_directory=True, image_shape=(1, 28, 28)),
    "cifar10": Source(load_cifar10, reads_directory=True, image_shape=(3, 32, 32)),
}


def load(name: str, directory: str | Path | None = None) -> Dataset:
    """The data set `name`, one of SOURCES; "fashion_mnist" is "fashion-mnist" too.

    directory: where the files of a data set that has files lie; by default the cache directory.

    Raises ValueError for an unknown name, or a directory for a data set without files; DataError for absent
    or malformed files; MissingExtra where a package to read or download it is absent.

    >>> load("digits").train_images.shape
    (1437, 1, 28, 28)
    """
    source = SOURCES.get(name.replace("_", "-")) if isinstance(name, str) else None
    if source is None:
        raise ValueError(f"name must be one of {', '.join(map(repr, SOURCES))}, got {name!r}")
    if directory is not None and not source.reads_directory:
        raise ValueError(f"directory must be None for {name!r}, which has no files, got {str(directory)!r}")
    return source.load(None if directory is None else Path(directory))
