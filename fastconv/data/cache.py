# SPDX-License-Identifier: BSD-3-Clause
"""Where downloaded data is kept, and how it gets there."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fastconv._extras import MissingExtra, require
from fastconv.errors import DataError


class Published(NamedTuple):
    """A file that can be downloaded: its name at every mirror, its size in bytes, and its digest."""

    name: str
    size: int
    sha256: str


def cache_directory() -> Path:
    """$FASTCONV_DATA, else $XDG_CACHE_HOME/fastconv, else ~/.cache/fastconv. It need not exist yet.

    >>> cache_directory().is_absolute()
    True
    """
    if own := os.environ.get("FASTCONV_DATA"):
        return Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "fastconv"
    return Path.home() / ".cache" / "fastconv"


def cached(folder: str, files: Sequence[Published], mirrors: Sequence[str]) -> Path:
    """The directory `folder` of the cache, with all `files` in it: those that are not there are downloaded.

    Raises DataError where a download fails, MissingExtra where one is needed and the extra `data` is absent.
    """
    directory = cache_directory() / folder
    for file in files:
        if not (directory / file.name).is_file():
            download([mirror + file.name for mirror in mirrors], directory / file.name, file.sha256, file.size)
    return directory


def download(urls: Sequence[str], path: Path, sha256: str, size: int) -> None:
    """Fetch `path` from the first of several mirrors that has it, with a progress bar on a terminal.

    It appears only once its `size` bytes are there and their digest is right. What an interrupted download leaves is
    taken up by the next one. Of several processes one downloads, and the others wait for it.

    Raises DataError if all mirrors fail or the directory cannot be written; MissingExtra, saying what to do instead,
    where a package is missing.
    """
    tools = _tools(path)
    with _alone(path.parent):
        if path.is_file():  # another process was quicker
            return
        part = path.with_name(f".{path.name}.{sha256[:12]}.part")
        # What an earlier session left may be wrong itself. Then the digest is, too, and it is begun anew.
        attempts = [*urls[:1], *urls] if part.exists() else urls
        failures = []
        for url in attempts:
            failure = _attempt(tools, url, path, part, sha256, size)
            if failure is None:
                return
            failures.append(f"{url}: {failure}")
    raise DataError(f"{path} is not there and could not be downloaded:\n  " + "\n  ".join(failures))


class _Tools(NamedTuple):
    pooch: Any
    tqdm: Any


def _tools(path: Path) -> _Tools:
    try:
        return _Tools(require("pooch", extra="data"), require("tqdm", extra="data").tqdm)
    except MissingExtra as error:
        raise MissingExtra(
            f"{path} is not there, and to download it {error}. Or name the directory that holds the file.",
            name=error.name,
        ) from None


def _attempt(tools: _Tools, url: str, path: Path, part: Path, sha256: str, size: int) -> Exception | None:
    """Download from one mirror; what went wrong, if it can be better elsewhere."""
    from http.client import HTTPException  # the network is imported by those who use it

    from fastconv.data import http

    def fetch(url: str, target: str, _: Any) -> None:
        # disable=None: no bar where standard error is not a terminal
        with tools.tqdm(total=size, desc=path.name, unit="B", unit_scale=True, disable=None) as bar:
            http.fetch(url, part, size, lambda held: bar.update(held - bar.n))
        os.replace(part, target)

    try:
        tools.pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=path.name, path=path.parent, downloader=fetch)
    except DataError:
        raise
    except (OSError, HTTPException, ValueError) as error:  # a ValueError is a wrong digest
        return error
    return None


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, made if need be. The system drops it with the process, however that ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = open(directory / ".lock", "ab")  # noqa: SIM115
    except OSError as error:
        raise _unusable(directory, error) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise _unusable(directory, error) from None
        yield


def _unusable(directory: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot write to {directory}: {error.strerror}. Set FASTCONV_DATA to another cache directory, "
        "or name the directory that holds the files."
    )
