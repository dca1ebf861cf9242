# SPDX-License-Identifier: BSD-3-Clause
"""The IDX format of MNIST and its successors, gzip-compressed or not.

    0, 0, element type (8 = unsigned byte), number of axes n, n big-endian 32-bit extents, elements in C order

The header is read and judged before anything of the size it announces is allocated or inflated, so that
neither a false header nor a gzip bomb costs memory.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fastconv.data.dataset import Array
from fastconv.errors import DataError

UNSIGNED_BYTE = 8

#: Three times the largest data set of this format (EMNIST by class, 814,255 images of 28x28).
MAX_BYTES = 2 * 2**30

Source = BinaryIO | gzip.GzipFile

#: Deflate cannot compress more than this: 258 bytes for two bits.
MAX_RATIO = 1032


def read_idx(path: str | Path, axes: int) -> Array:
    """The uint8 array with `axes` axes in the file at `path`, which is compressed if its name ends in .gz.

    Raises DataError, naming the file, unless it holds exactly one such array; OSError where it cannot be opened.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     _ = Path(directory, "labels").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 3]))
    ...     read_idx(f"{directory}/labels", axes=1)
    array([7, 3], dtype=uint8)
    """
    path = Path(path)
    packed = path.suffix == ".gz"
    try:
        with open(path, "rb") as raw, gzip.open(raw) if packed else raw as file:
            shape = _read_header(path, file, axes)
            array = _read_elements(path, file, shape, path.stat().st_size, MAX_RATIO if packed else 1)
            if file.read(1):  # reading to the end also makes gzip compare its checksum
                raise DataError(f"{path}: bytes follow the {_times(shape)} that the header announces")
    except EOFError:
        raise DataError(f"{path}: truncated; the gzip stream has no end") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not an intact gzip file ({error})") from None
    return array


def _read_header(path: Path, file: Source, axes: int) -> tuple[int, ...]:
    header = file.read(4 * (1 + axes))
    if len(header) < 4 * (1 + axes):
        raise DataError(f"{path}: truncated; {len(header)} of {4 * (1 + axes)} header bytes are there")
    magic, *shape = struct.unpack(f">{1 + axes}I", header)
    expected = UNSIGNED_BYTE << 8 | axes
    if magic != expected:
        raise DataError(
            f"{path}: the magic number is {magic:#010x}, expected {expected:#010x} "
            f"(unsigned bytes, {axes} axes)"
        )
    return tuple(shape)


def _read_elements(path: Path, file: Source, shape: tuple[int, ...], length: int, ratio: int) -> Array:
    size = math.prod(shape)
    if size > min(MAX_BYTES, ratio * length):
        raise DataError(
            f"{path}: the header announces {_times(shape)} = {size} bytes, more than a file of {length} "
            f"bytes can hold, or than the limit of {MAX_BYTES}"
        )
    array = np.empty(shape, np.uint8)
    filled = _fill(file, array.data.cast("B") if size else memoryview(b""))
    if filled < size:
        raise DataError(
            f"{path}: truncated; the header announces {_times(shape)} = {size} bytes, {filled} are there"
        )
    return array


def _fill(file: Source, target: memoryview) -> int:
    """Read until target is full or the file ends; the number of bytes read."""
    filled = 0
    while filled < len(target):
        count = file.readinto(target[filled:])  # type: ignore[union-attr]
        if not count:
            break
        filled += count
    return filled


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
