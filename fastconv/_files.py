# SPDX-License-Identifier: BSD-3-Clause
"""Writing files so that a reader, a crash or Ctrl-C never meets half of one."""

from __future__ import annotations

import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


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
