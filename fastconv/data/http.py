# SPDX-License-Identifier: BSD-3-Clause
"""Fetching a file of known size over HTTP, going on where an earlier attempt stopped.

What has arrived is kept in a file of its own, whatever happens. A server that understands `Range` sends the rest; one
that does not sends everything, and the file is begun anew. That the bytes are the right ones is the caller's to check.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from fastconv.errors import DataError

#: Seconds without a single byte after which a server is given up.
TIMEOUT = 30.0
CHUNK = 2**16

CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def fetch(url: str, part: Path, size: int, progress: Callable[[int], Any]) -> None:
    """Make `part` the `size` bytes at `url`, going on behind the bytes it holds already.

    progress: told how many bytes there are, from time to time.

    A connection that breaks is taken up again as long as each attempt brings something.

    Raises OSError or http.client.HTTPException where the server cannot be reached, refuses, or has a file of another
    size; DataError where `part` cannot be written.
    """
    while True:
        before = _size(part)
        try:
            return _continue(url, part, size, progress)
        except HTTPError:
            raise
        except (OSError, HTTPException):
            if _size(part) <= before:
                raise


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _continue(url: str, part: Path, size: int, progress: Callable[[int], Any]) -> None:
    held = _size(part)
    if held == size:
        return
    held = held if held < size else 0
    with _opener().open(_request(url, held), timeout=TIMEOUT) as response:
        held = _start(response, held, size)
        with _opened(part) as file:
            file.truncate(held)
            _copy(response, file, held, size, progress)
            with _writing(part):
                os.fsync(file.fileno())


def _opened(part: Path) -> BinaryIO:
    """For appending; unbuffered, so that closing it writes nothing, for an error would come too late there."""
    with _writing(part):
        return open(part, "ab", buffering=0)


def _request(url: str, held: int) -> Request:
    headers = {"User-Agent": "fastconv", "Accept-Encoding": "identity"}
    return Request(url, headers=headers | ({"Range": f"bytes={held}-"} if held else {}))


def _start(response: Any, held: int, size: int) -> int:
    """The position in the file of the first byte the server is about to send. URLError where it has another file."""
    if response.status == 206:
        announced = response.headers.get("Content-Range", "")
        match = CONTENT_RANGE.fullmatch(announced)
        if match and int(match[1]) == held and match[2] in (str(size), "*"):
            return held
        raise URLError(
            f"asked for bytes {held} to {size - 1} of {size}, the server sends {announced!r}"
        )
    announced = response.headers.get("Content-Length")
    if announced is not None and announced != str(size):
        kind = response.headers.get("Content-Type", "of unknown type")
        raise URLError(f"the server sends {announced} bytes ({kind}), expected {size}")
    return 0


def _copy(response: IO[bytes], file: BinaryIO, held: int, size: int, progress: Callable[[int], Any]) -> None:
    progress(held)
    while held < size:
        chunk = memoryview(response.read(min(CHUNK, size - held)))
        if not chunk:
            raise ConnectionError(f"the connection ended after {held} of {size} bytes")
        with _writing(file.name):
            while chunk:
                written = file.write(chunk)
                held, chunk = held + written, chunk[written:]
        progress(held)


@contextmanager
def _writing(path: str | Path) -> Iterator[None]:
    """Errors of the disk are told from those of the network: another server would not help."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error


class _Redirects(HTTPRedirectHandler):
    """Follows redirects, but not from https to something that anybody on the way could change."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        if urlsplit(newurl).scheme not in ("https", req.type):
            raise URLError(f"redirected from {req.type} to {newurl}, which is less safe")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> OpenerDirector:
    return build_opener(_Redirects())
