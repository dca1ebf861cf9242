# SPDX-License-Identifier: BSD-3-Clause
"""Weights in the order in which the kernels read them, kept for as long as the parameters do not change.

A parameter counts its changes (`version`). Packed weights are found by the parameter and by what the plan's
kernels expect, so that images of many sizes share them, and are used only while the versions are the ones they
were packed from. They go when the parameter goes, or when the cache is over its limit, the least recently used
first. What is larger than the limit is packed for each call.
"""

import os
import threading
import weakref
from collections import OrderedDict
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from fastconv import _core


class Versioned(Protocol):
    """What a layer's weights must offer: fastconv.nn.Parameter."""

    @property
    def version(self) -> int: ...
    def numpy(self) -> Any: ...


Parameters = tuple[Versioned, Versioned | None]
"""A layer's weight and its bias, if it has one."""

#: Bytes. Winograd's transformed weights are four times the weights: 235 MB for VGG-16.
LIMIT = 512 << 20


class _Entry(NamedTuple):
    versions: tuple[int, int | None]
    packed: _core.PackedWeights
    owner: weakref.ref[Any]    # its callback removes the entry
    bias: weakref.ref[Any] | None    # not its id, which another may have after it

    def serves(self, versions: tuple[int, int | None], bias: Versioned | None) -> bool:
        return self.versions == versions and (None if self.bias is None else self.bias()) is bias


_entries: OrderedDict[tuple[Any, ...], _Entry] = OrderedDict()
_bytes = 0
_lock = threading.RLock()    # the callback may come while the same thread holds it


def get(plan: _core.ConvPlan, parameters: Parameters) -> _core.PackedWeights:
    """The parameters packed for a plan."""
    weight, bias = parameters
    versions = weight.version, None if bias is None else bias.version
    key = (id(weight), plan.packing)
    entry = _entries.get(key)
    if entry is not None and entry.serves(versions, bias):
        with suppress(KeyError):    # dropped by another thread in this moment
            _entries.move_to_end(key)
        return entry.packed
    # Winograd reads the weights themselves, too, where an output is not finite.
    copy = plan.algorithm == "winograd"
    packed = plan.pack(weight.numpy(), None if bias is None else bias.numpy(), copy)
    with _lock:
        _drop(key)
        owner = weakref.ref(weight, lambda _: _forget(key))
        _keep(key, _Entry(versions, packed, owner, None if bias is None else weakref.ref(bias)))
    return packed


def _keep(key: tuple[Any, ...], entry: _Entry) -> None:
    global _bytes
    _entries[key] = entry
    _bytes += entry.packed.nbytes
    while _bytes > LIMIT:
        _drop(next(iter(_entries)))


def _drop(key: tuple[Any, ...]) -> None:
    global _bytes
    entry = _entries.pop(key, None)
    if entry is not None:
        _bytes -= entry.packed.nbytes


def _forget(key: tuple[Any, ...]) -> None:
    with _lock:
        _drop(key)


def clear() -> None:
    """Forget all."""
    global _bytes
    with _lock:
        _entries.clear()
        _bytes = 0


def size() -> tuple[int, int]:
    """How many are kept, and how many bytes they have."""
    return len(_entries), _bytes


def _renew_lock() -> None:
    """In a forked child: the thread that held the lock, if any, does not exist there."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
