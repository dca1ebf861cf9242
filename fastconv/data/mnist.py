# SPDX-License-Identifier: BSD-3-Clause
"""MNIST: 60,000 handwritten digits to learn from and 10,000 to be judged by, 28x28 (LeCun, Cortes, Burges).

The four standard files are taken from a directory of the user's, or from the cache, or downloaded into it.
"""

import hashlib
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastconv.data.cache import cache_directory, download
from fastconv.data.dataset import Array, Dataset
from fastconv.data.idx import read_idx
from fastconv.errors import DataError

SIDE = 28
CLASSES = tuple("0123456789")

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)


class File(NamedTuple):
    """One of the four files. The digests are of the .gz as published, and of the elements inside any .gz."""

    name: str
    sha256_gz: str
    sha256_elements: str


TRAIN_IMAGES = File(
    "train-images-idx3-ubyte.gz",
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
)
TRAIN_LABELS = File(
    "train-labels-idx1-ubyte.gz",
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
)
TEST_IMAGES = File(
    "t10k-images-idx3-ubyte.gz",
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
)
TEST_LABELS = File(
    "t10k-labels-idx1-ubyte.gz",
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
)
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


def load_mnist(directory: Path | None = None) -> Dataset:
    """MNIST from the four .gz files in `directory`; by default from the cache, which is filled if need be.

    Warns if the files are well-formed but hold something else than the published MNIST (Fashion-MNIST's have
    the same names), because then no published number applies.

    Raises DataError for absent or malformed files or a failed download; MissingExtra where a download is
    needed and pooch is absent.
    """
    if directory is None:
        directory = _cached()
    else:
        _refuse_missing(directory)
    train_images, train_labels = _read_pair(directory, TRAIN_IMAGES, TRAIN_LABELS)
    test_images, test_labels = _read_pair(directory, TEST_IMAGES, TEST_LABELS)
    return Dataset("mnist", train_images, train_labels, test_images, test_labels, CLASSES)


def _cached() -> Path:
    """The cache directory, with the four files in it."""
    directory = cache_directory() / "mnist"
    for file in FILES:
        if not (directory / file.name).is_file():
            download([mirror + file.name for mirror in MIRRORS], directory / file.name, file.sha256_gz)
    return directory


def _refuse_missing(directory: Path) -> None:
    missing = [file.name for file in FILES if not (directory / file.name).is_file()]
    if missing:
        what = "no such directory" if not directory.is_dir() else f"{', '.join(missing)} not found"
        expected = ", ".join(file.name for file in FILES)
        raise DataError(f"{directory}: {what}; expected the four files {expected}")


def _read_pair(directory: Path, image_file: File, label_file: File) -> tuple[Array, Array]:
    """Images as float32 (N, 1, 28, 28) in [0, 1] and labels as int64 (N,)."""
    path, label_path = directory / image_file.name, directory / label_file.name
    images, labels = _read(directory, image_file, 3), _read(directory, label_file, 1)
    if images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{path}: images are {images.shape[1]} x {images.shape[2]}, expected {SIDE} x {SIDE}")
    if len(images) != len(labels):
        raise DataError(f"{path} has {len(images)} images, but {label_path} {len(labels)} labels")
    if not len(images):
        raise DataError(f"{path}: there are no images in it")
    wrong = np.flatnonzero(labels >= len(CLASSES))
    if wrong.size:
        raise DataError(
            f"{label_path}: label {wrong[0]} is {labels[wrong[0]]}, expected 0 to {len(CLASSES) - 1}"
        )
    return images[:, None].astype(np.float32) / np.float32(255), labels.astype(np.int64)


def _read(directory: Path, file: File, axes: int) -> Array:
    array = read_idx(directory / file.name, axes)
    if hashlib.sha256(array.data).hexdigest() != file.sha256_elements:
        warnings.warn(
            f"{directory / file.name} is well-formed but not the published MNIST file: its SHA-256 differs",
            stacklevel=2,
        )
    return array
