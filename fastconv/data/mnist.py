# SPDX-License-Identifier: BSD-3-Clause
"""MNIST: 60,000 handwritten digits to learn from and 10,000 to be judged by, 28x28 (LeCun, Cortes, Burges), and
Fashion-MNIST: as many pictures of clothes, in files of the same names and format (Xiao, Rasul, Vollgraf, 2017).

The four standard files are taken from a directory of the user's, or from the cache, or downloaded into it.

Sizes and digests of the files are those of tensorflow/datasets, url_checksums/mnist.txt and fashion_mnist.txt. The MD5
sums of Fashion-MNIST's README belong to the same files.
"""

import hashlib
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastconv.data.cache import Published, cached
from fastconv.data.dataset import Array, Dataset
from fastconv.data.idx import read_idx
from fastconv.errors import DataError

SIDE = 28

TRAIN_IMAGES = Published(
    "train-images-idx3-ubyte.gz", 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
)
TRAIN_LABELS = Published(
    "train-labels-idx1-ubyte.gz", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
)
TEST_IMAGES = Published(
    "t10k-images-idx3-ubyte.gz", 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
)
TEST_LABELS = Published(
    "t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
)


class Family(NamedTuple):
    """A data set of four IDX files: images and labels to learn from, images and labels to be judged by.

    elements: SHA-256 of the elements inside the files, where known: the same however they are compressed.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    files: tuple[Published, Published, Published, Published]
    elements: frozenset[str] = frozenset()


MNIST = Family(
    "mnist",
    "MNIST",
    tuple("0123456789"),
    (
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS),
    frozenset(
        {
            "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
            "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
            "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
            "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
        }
    ),
)

FASHION_MNIST = Family(
    "fashion-mnist",
    "Fashion-MNIST",
    ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    (
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    (
        Published(
            TRAIN_IMAGES.name, 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
        ),
        Published(TRAIN_LABELS.name, 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        Published(TEST_IMAGES.name, 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        Published(TEST_LABELS.name, 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
)


def load_mnist(directory: str | Path | None = None) -> Dataset:
    """MNIST from its four files in `directory`, .gz or not; by default from the cache, which is filled if need be.

    Warns if the files are well-formed but hold something else than the published MNIST (Fashion-MNIST's have
    the same names), because then no published number applies.

    Raises DataError for absent or malformed files or a failed download; MissingExtra where a download is
    needed and pooch is absent.

    >>> load_mnist("nowhere")
    Traceback (most recent call last):
    fastconv.errors.DataError: nowhere: no such directory; expected the four files train-images-idx3-ubyte.gz, ...
    """
    return _load(MNIST, directory)


def load_fashion_mnist(directory: str | Path | None = None) -> Dataset:
    """Fashion-MNIST, from where load_mnist takes MNIST, and with the same warning and errors.

    >>> load_fashion_mnist("nowhere")
    Traceback (most recent call last):
    fastconv.errors.DataError: nowhere: no such directory; expected the four files train-images-idx3-ubyte.gz, ...
    """
    return _load(FASHION_MNIST, directory)


def _load(family: Family, directory: str | Path | None) -> Dataset:
    if directory is None:
        directory = cached(family.name, family.files, family.mirrors)
    else:
        directory = Path(directory)
        _refuse_missing(directory, family)
    train_images, train_labels = _read_pair(directory, family, *family.files[:2])
    test_images, test_labels = _read_pair(directory, family, *family.files[2:])
    return Dataset(family.name, train_images, train_labels, test_images, test_labels, family.classes)


def _path(directory: Path, file: Published) -> Path:
    """Of the file, or where it is not there of the same uncompressed."""
    path = directory / file.name
    return path if path.is_file() else path.with_suffix("")


def _refuse_missing(directory: Path, family: Family) -> None:
    missing = [file.name for file in family.files if not _path(directory, file).is_file()]
    if missing:
        what = "no such directory" if not directory.is_dir() else f"{', '.join(missing)} not found"
        expected = ", ".join(file.name for file in family.files)
        raise DataError(f"{directory}: {what}; expected the four files {expected}, or the same without .gz")


def _read_pair(directory: Path, family: Family, image_file: Published, label_file: Published) -> tuple[Array, Array]:
    """Images as float32 (N, 1, 28, 28) in [0, 1] and labels as int64 (N,)."""
    path, label_path = _path(directory, image_file), _path(directory, label_file)
    images, labels = _read(path, family, image_file, 3), _read(label_path, family, label_file, 1)
    if images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{path}: images are {images.shape[1]} x {images.shape[2]}, expected {SIDE} x {SIDE}")
    if len(images) != len(labels):
        raise DataError(f"{path} has {len(images)} images, but {label_path} {len(labels)} labels")
    if not len(images):
        raise DataError(f"{path}: there are no images in it")
    wrong = np.flatnonzero(labels >= len(family.classes))
    if wrong.size:
        raise DataError(
            f"{label_path}: label {wrong[0]} is {labels[wrong[0]]}, expected 0 to {len(family.classes) - 1}"
        )
    return np.divide(images[:, None], np.float32(255), dtype=np.float32), labels.astype(np.int64)


def _read(path: Path, family: Family, file: Published, axes: int) -> Array:
    array = read_idx(path, axes)
    if hashlib.sha256(array.data).hexdigest() not in family.elements and _digest(path) != file.sha256:
        warnings.warn(
            f"{path} is well-formed but not the published {family.title} file: its SHA-256 differs", stacklevel=2
        )
    return array


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
