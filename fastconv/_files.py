# SPDX-License-Identifier: BSD-3-Clause
"""Writing files so that a reader, a crash or Ctrl-C never meets half of one; reading arrays without trusting them."""

from __future__ import annotations

import io
import math
import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

from fastconv.errors import WeightsError


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file that becomes `path` when the block ends well, and vanishes when it does not.

    The temporary file lies in the same directory, because only there os.replace is one atomic step; it
    reaches the disk first, because otherwise a power failure could leave the new name on an empty file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     with replacing(f"{directory}/a.txt") as file:
    ...         _ = file.write(b"whole")
    ...     Path(directory, "a.txt").read_text()
    'whole'
    """
    path = Path(path)
    # Not tempfile: its files are private to the user whatever the umask says, and these are results to share.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(path: str | Path) -> None:
    """Delete the temporary files that killed processes have left beside `path`; nobody else may be writing it."""
    path = Path(path)
    for entry in path.parent.iterdir():
        name = entry.name.removeprefix(f".{path.name}.").removesuffix(".part")
        if entry.name == f".{path.name}.{name}.part" and len(name) == 8:
            entry.unlink(missing_ok=True)


def save_npz(path: str | Path, arrays: Mapping[str, ArrayLike]) -> None:
    """Write named arrays, such as a state dict, as an uncompressed .npz; equal arrays give equal bytes.

    Not numpy.savez: an array called "file" would collide with its parameter, and it pickles objects.

    >>> import numpy as np, tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     save_npz(f"{directory}/weights.npz", {"fc.bias": np.zeros(3)})
    ...     with np.load(f"{directory}/weights.npz") as weights:
    ...         print(dict(weights))
    {'fc.bias': array([0., 0., 0.])}
    """
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def load_npz(path: str | Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read what save_npz has written, and trust nothing in it: no pickles, and never more memory than the file's size.

    Raises OSError if the file cannot be opened, WeightsError if it is damaged or something else.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     save_npz(f"{directory}/weights.npz", {"fc.bias": np.zeros(3)})
    ...     load_npz(f"{directory}/weights.npz")
    {'fc.bias': array([0., 0., 0.])}
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                if len({member.filename for member in members}) < len(members):
                    raise ValueError("two arrays have the same name")
                return {_array_name(member): _read_array(archive, member) for member in members}
        except MemoryError:
            raise
        except Exception as error:    # zipfile and numpy raise a dozen kinds on damaged files
            raise WeightsError(f"{path} is damaged, or not an uncompressed .npz file: {error}") from error


def _array_name(member: zipfile.ZipInfo) -> str:
    if not member.filename.endswith(".npy"):
        raise ValueError(f"it holds {member.filename!r}, which is no array")
    return member.filename.removesuffix(".npy")


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray[Any, Any]:
    """The array of a member that is stored as it is, with elements that are numbers."""
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise ValueError(f"{member.filename!r} is compressed")
    file = io.BytesIO(archive.read(member))
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    content = file.getbuffer()[file.tell():]
    if dtype.kind not in "biuf" or not dtype.isnative:
        raise ValueError(f"{member.filename!r} has elements of type {dtype}")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"{member.filename!r} of shape {shape} has {len(content)} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C").copy(order="C")
