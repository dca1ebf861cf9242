# SPDX-License-Identifier: BSD-3-Clause
"""What a thread has set for the operations it calls: :mod:`fastconv.autograd` is where to import it from."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import ContextDecorator, contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from fastconv._tensor import Tensor


class _Mode(threading.local):
    enabled = True
    native = True
    waiting: list[weakref.ref[Tensor]] | None = None


mode = _Mode()


def wants_native() -> bool:
    """Whether a result may be in the native layout: not where it is all that will be made of the input."""
    return mode.native


@contextmanager
def plain_results() -> Iterator[None]:
    """Arrays only, in this thread."""
    outer, mode.native = mode.native, False
    try:
        yield
    finally:
        mode.native = outer


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded.

    >>> is_grad_enabled()
    True
    """
    return mode.enabled


class _GradMode(ContextDecorator):
    _enabled: bool

    def __init__(self) -> None:
        self._outer: list[bool] = []

    def _recreate_cm(self) -> Self:
        return type(self)()

    def __enter__(self) -> None:
        self._outer.append(mode.enabled)
        mode.enabled = self._enabled

    def __exit__(self, *exception: object) -> None:
        mode.enabled = self._outer.pop()


class no_grad(_GradMode):
    """Record nothing: a context manager, or a decorator. It holds for the current thread only.

    >>> from fastconv import tensor
    >>> x = tensor([1.0], requires_grad=True)
    >>> with no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    _enabled = False


class enable_grad(_GradMode):
    """Record again, inside a block of :class:`no_grad`.

    >>> with no_grad(), enable_grad():
    ...     is_grad_enabled()
    True
    """

    _enabled = True
