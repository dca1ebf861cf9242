# SPDX-License-Identifier: BSD-3-Clause
"""CIFAR-10: 50,000 photographs to learn from and 10,000 to be judged by, 32x32, ten classes (Krizhevsky, 2009).

The binary version is read, because the one for Python is pickled, and a pickle can run any code. Each of its six files
is 10,000 records of

    label (1 byte), red (1024), green (1024), blue (1024), each colour in rows of 32

The archive is read as it is, without unpacking: nothing is written, and a member that does not belong there is refused.

Address, size and SHA-256 are those of tensorflow/datasets, url_checksums/cifar10.txt. The MD5 on the data set's own
page belongs to the same file.
"""

import gzip
import hashlib
import tarfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fastconv.data.cache import Published, cached
from fastconv.data.dataset import Array, Dataset
from fastconv.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)

#: Images in each file, and bytes of each.
RECORDS = 10_000
RECORD = 1 + 3 * 32 * 32

FOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
FILES = (*TRAIN_FILES, "test_batch.bin")
OTHER_MEMBERS = ("batches.meta.txt", "readme.html")

ARCHIVE = Published(
    "cifar-10-binary.tar.gz", 170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
)
MIRRORS = ("https://www.cs.toronto.edu/~kriz/", "https://dataset.bj.bcebos.com/cifar/")

#: The largest archive that is inflated: the six files, and as much again as one of them for everything else.
MAX_BYTES = 7 * 10_000 * RECORD

#: The most bytes that a header of the archive may be followed by.
MAX_HEADER = 2**16


def load_cifar10(directory: str | Path | None = None) -> Dataset:
    """CIFAR-10 from `directory`, by default from the cache, which is filled if need be.

    directory: holds the six .bin files, or cifar-10-batches-bin/ with them, or cifar-10-binary.tar.gz.

    Images (N, 3, 32, 32) in [0, 1], 740 MB in all. Warns if the archive is well-formed but not the published one.
    Raises DataError for absent or malformed files or a failed download; MissingExtra where a download is needed and
    pooch is absent.

    >>> load_cifar10("nowhere")
    Traceback (most recent call last):
    fastconv.errors.DataError: nowhere: no such directory; expected data_batch_1.bin, ...
    """
    source = _source(cached("cifar10", [ARCHIVE], MIRRORS) if directory is None else Path(directory))
    images = np.empty((len(FILES) * RECORDS, *SHAPE), np.float32)
    labels = np.empty(len(images), np.int64)
    missing = set(FILES)
    for path, name, content in _contents(source):
        if name not in missing:
            raise DataError(f"{path}: {name} is there twice")
        missing.remove(name)
        slot = slice(FILES.index(name) * RECORDS, (FILES.index(name) + 1) * RECORDS)
        _decode(f"{path}: {name}", content, images[slot], labels[slot])
    if missing:
        raise DataError(f"{source}: {', '.join(sorted(missing))} not found")
    split = len(TRAIN_FILES) * RECORDS
    return Dataset("cifar10", images[:split], labels[:split], images[split:], labels[split:], CLASSES)


def _decode(where: str, content: bytes, images: Array, labels: Array) -> None:
    """Write the records of one file into images (N, 3, 32, 32) and labels (N,)."""
    records = np.frombuffer(content, np.uint8).reshape(RECORDS, RECORD)
    labels[:] = records[:, 0]
    wrong = np.flatnonzero(labels >= len(CLASSES))
    if wrong.size:
        raise DataError(f"{where}: label {wrong[0]} is {labels[wrong[0]]}, expected 0 to {len(CLASSES) - 1}")
    np.divide(records[:, 1:].reshape(images.shape), np.float32(255), out=images)


def _source(directory: Path) -> Path:
    """The directory with the six files, or the archive."""
    for folder in (directory, directory / FOLDER):
        if all((folder / name).is_file() for name in FILES):
            return folder
    archive = directory / ARCHIVE.name
    if archive.is_file():
        return archive
    what = "CIFAR-10 not found" if directory.is_dir() else "no such directory"
    raise DataError(f"{directory}: {what}; expected {', '.join(FILES)}, or these in {FOLDER}/, or {ARCHIVE.name}")


def _contents(source: Path) -> Iterator[tuple[Path, str, bytes]]:
    """(where it comes from, name, content) of each of FILES that is there."""
    if source.is_dir():
        return ((source, name, _read(source / name)) for name in FILES)
    return _members(source)


def _read(path: Path) -> bytes:
    with open(path, "rb") as file:
        return _whole(str(path), file, path.stat().st_size)


def _whole(where: str, file: BinaryIO, size: int) -> bytes:
    """The content of a file, if it has the one size there is."""
    expected = RECORDS * RECORD
    if size != expected:
        raise DataError(f"{where} has {size} bytes, expected {RECORDS} records of {RECORD} = {expected}")
    content = file.read(expected)
    if len(content) < expected:
        raise DataError(f"{where}: truncated; {len(content)} of {expected} bytes are there")
    return content


# ---- the archive -----------------------------------------------------------------------------------------------------


class _Header(tarfile.TarInfo):
    """A header, refused where it says that a long name or a list of properties of many bytes follows.

    tarfile reads these into memory whole; the published archive has none.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        header = super().frombuf(buf, encoding, errors)
        if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) and header.size > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {header.size} bytes, more than the limit of {MAX_HEADER}")
        return header


class _Limited:
    """A stream that ends with an error where it gives more than MAX_BYTES: a gzip bomb costs no more than that."""

    def __init__(self, path: Path, stream: BinaryIO | gzip.GzipFile) -> None:
        self.path, self.stream, self.left = path, stream, MAX_BYTES

    def read(self, size: int) -> bytes:
        content = self.stream.read(min(size, self.left + 1))
        self.left -= len(content)
        if self.left < 0:
            raise DataError(f"{self.path}: inflates to more than the limit of {MAX_BYTES} bytes")
        return content


def _members(path: Path) -> Iterator[tuple[Path, str, bytes]]:
    _warn_if_unpublished(path)
    try:
        with open(path, "rb") as raw, gzip.open(raw) as inflated:
            stream = _Limited(path, inflated)
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive:  # type: ignore[call-overload]
                for member in archive:
                    name = _member_name(path, member)
                    if name in FILES:
                        yield path, name, _whole(f"{path}: {name}", archive.extractfile(member), member.size)
            while stream.read(2**20):  # reading to the end makes gzip compare its checksum
                pass
    except EOFError:
        raise DataError(f"{path}: truncated; the gzip stream has no end") from None
    except (gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{path}: not an intact .tar.gz file ({error})") from None


def _member_name(path: Path, member: tarfile.TarInfo) -> str:
    """The name inside FOLDER. DataError for what the published archive does not hold, such as a link or a way out."""
    folder, _, name = member.name.rstrip("/").partition("/")
    is_file = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    if folder != FOLDER or not (is_file and name in (*FILES, *OTHER_MEMBERS) or member.isdir() and not name):
        raise DataError(f"{path}: {member.name!r} does not belong to CIFAR-10's archive")
    return name


def _warn_if_unpublished(path: Path) -> None:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != ARCHIVE.sha256:
        warnings.warn(f"{path} is not the published archive of CIFAR-10: its SHA-256 differs", stacklevel=2)
