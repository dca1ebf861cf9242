# SPDX-License-Identifier: BSD-3-Clause
"""Calls that have been checked and planned once, kept by the exact values of their arguments.

An operation on small arrays costs less than its checks and its plan, so it first builds a key from its
arguments and asks `find`. What is found was put there by `alias` after every check had passed for arguments
equal to these. Equal is not the same as valid: True == 1 == 1.0 as keys, and only 1 is a stride. So an
operation may build a key only from values that are `exact`, and takes the whole gate for all others.

`clear` must be called after whatever changes plans: a change of instruction set.
"""

import os
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np

from fastconv import _core

#: Entries are a few hundred bytes. A network has fewer distinct calls; a stream of ever-changing image sizes
#: starts over here, and pays for planning anyway.
LIMIT = 1024

Call = TypeVar("Call")

_ndarray = np.ndarray
_dtype = np.dtype
_Blocked = _core.Blocked

_calls: dict[Hashable, Any] = {}
_lock = threading.RLock()


def find(key: Hashable) -> Any:
    """The call of this key, or None, also where the key holds what cannot be a key."""
    try:
        return _calls.get(key)
    except TypeError:
        return None


def add(canonical: Hashable, build: Callable[[], Call]) -> Call:
    """The call of a canonical key (one of checked, normalised values), built if need be.

    The lock is held while building so that a plan made before a `clear` cannot be kept after it.
    """
    with _lock:
        call: Call | None = _calls.get(canonical)
        if call is None:
            call = build()
            _keep(canonical, call)
        return call


def alias(key: tuple[Hashable, ...] | None, canonical: Hashable) -> None:
    """Let `find` answer key, if there is one, with the call of the canonical key, if that is still kept.

    Not for arrays of foreign byte order: those must go through the gate, which copies them, every time.
    """
    if key is None:
        return
    for part in key:
        if isinstance(part, _dtype) and not part.isnative:
            return
    with _lock:
        call = _calls.get(canonical)
        if call is not None:
            _keep(key, call)


def _keep(key: Hashable, call: object) -> None:
    if len(_calls) >= LIMIT:
        _calls.clear()
    _calls[key] = call


def clear() -> None:
    """Forget every call."""
    with _lock:
        _calls.clear()


def count() -> int:
    """How many are kept."""
    return len(_calls)


def skip(*arguments: object) -> None:
    """In place of a pass over an empty batch that has nothing to write."""


def ready(array: object) -> bool:
    """Whether the core can read these images as they are, but for a foreign byte order, which is in their dtype."""
    kind = type(array)
    return (kind is _ndarray and array.flags.aligned) or kind is _Blocked  # type: ignore[attr-defined]


def exact(value: Any) -> bool:
    """Whether a parameter may be part of a key: by type an int, a str, or a tuple of ints or of pairs of ints."""
    kind = type(value)
    if kind is not tuple:
        return kind is int or kind is str
    return all(type(entry) is int or _int_pair(entry) for entry in value)


def exact_shape(value: object) -> bool:
    """Whether value may be part of a key as a shape: a tuple of ints, by type."""
    return type(value) is tuple and all(type(entry) is int for entry in value)


def exact_flags(value: object) -> bool:
    """Whether value may be part of a key as three booleans."""
    if type(value) is not tuple or len(value) != 3:
        return False
    a, b, c = value
    return type(a) is bool and type(b) is bool and type(c) is bool


def _int_pair(value: Any) -> bool:
    return type(value) is tuple and len(value) == 2 and type(value[0]) is int and type(value[1]) is int


def _renew_lock() -> None:
    """In a forked child: the thread that held the lock, if any, does not exist there."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
