# SPDX-License-Identifier: BSD-3-Clause
"""Where downloaded data is kept, and how it gets there."""

import os
from collections.abc import Sequence
from pathlib import Path

from fastconv._extras import MissingExtra, require
from fastconv.errors import DataError


def cache_directory() -> Path:
    """$FASTCONV_DATA, else $XDG_CACHE_HOME/fastconv, else ~/.cache/fastconv. It need not exist yet."""
    if own := os.environ.get("FASTCONV_DATA"):
        return Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "fastconv"
    return Path.home() / ".cache" / "fastconv"


def download(urls: Sequence[str], path: Path, sha256: str) -> None:
    """Fetch `path` from the first of several mirrors that has it; it appears only once its digest is right.

    Raises DataError if all mirrors fail; MissingExtra, saying what to do instead, without pooch.
    """
    try:
        pooch = require("pooch", extra="data")
    except MissingExtra as error:
        raise MissingExtra(
            f"{path} is not there, and to download it {error}. Or name the directory that holds the file.",
            name=error.name,
        ) from None
    failures = []
    for url in urls:
        try:
            pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=path.name, path=path.parent)
            return
        except (OSError, ValueError) as error:  # network errors are OSErrors, a wrong digest is a ValueError
            failures.append(f"{url}: {error}")
    raise DataError(f"{path} is not there and could not be downloaded:\n  " + "\n  ".join(failures))
