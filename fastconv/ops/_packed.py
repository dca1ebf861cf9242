# SPDX-License-Identifier: BSD-3-Clause
"""Weights in the order in which the kernels read them, kept for as long as the parameters do not change.

A parameter counts its changes (`version`). Packed weights are found by the parameter and by what the plan's
kernels expect, so that images of many sizes share them, and are used only while the versions are the ones they
were packed from. They go when the parameter goes, or when the cache is over its limit, the least recently used
first. What is larger than the limit is packed for each call.

Beside them lie weights with a normalisation by given statistics folded into them, valid for the numbers they were
made from.
"""

import os
import threading
import weakref
from collections import OrderedDict
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from fastconv import _core
from fastconv.ops._fold import Normalization


class Versioned(Protocol):
    """What a layer's weights must offer: fastconv.nn.Parameter."""

    @property
    def version(self) -> int: ...
    def numpy(self) -> Any: ...


Parameters = tuple[Versioned, Versioned | None]
"""A layer's weight and its bias, if it has one."""

#: Bytes. Winograd's transformed weights are four times the weights: 235 MB for VGG-16.
LIMIT = 512 << 20


#: Bytes. A layer with more packed weights has small maps, on which a normalisation of its own costs little, and the
#: weights would be kept twice.
FOLD_LIMIT = 4 << 20

Versions = tuple[int, int | None, tuple[Any, ...] | None]


class _Entry(NamedTuple):
    versions: Versions
    packed: _core.PackedWeights
    owner: weakref.ref[Any]    # its callback removes the entry
    bias: weakref.ref[Any] | None    # not its id, which another may have after it

    def serves(self, versions: Versions, bias: Versioned | None) -> bool:
        return self.versions == versions and (None if self.bias is None else self.bias()) is bias


_entries: OrderedDict[tuple[Any, ...], _Entry] = OrderedDict()
_bytes = 0
_lock = threading.RLock()    # the callback may come while the same thread holds it


def get(plan: _core.ConvPlan, parameters: Parameters) -> _core.PackedWeights:
    """The parameters packed for a plan."""
    weight, bias = parameters
    versions = weight.version, None if bias is None else bias.version, None
    key = (id(weight), plan.packing, False)
    packed = _find(key, versions, bias)
    if packed is None:
        # Winograd reads the weights themselves, too, where an output is not finite.
        copy = plan.algorithm == "winograd"
        packed = plan.pack(weight.numpy(), None if bias is None else bias.numpy(), copy)
        _add(key, versions, parameters, packed)
    return packed


def get_folded(plan: _core.ConvPlan, parameters: Parameters, norm: Normalization) -> _core.PackedWeights | None:
    """The parameters with a normalisation of the result folded into them; None where it does not fold."""
    if plan.packed_bytes > FOLD_LIMIT:
        return None
    weight, bias = parameters
    versions = weight.version, None if bias is None else bias.version, norm.stamp()
    key = (id(weight), plan.packing, True)
    packed = _find(key, versions, bias)
    if packed is None:
        folded = norm.folded_into(weight.numpy(), None if bias is None else bias.numpy())
        if folded is None:
            return None
        packed = plan.pack(*folded, False)
        _add(key, versions, parameters, packed)
    return packed


def _find(key: tuple[Any, ...], versions: Versions, bias: Versioned | None) -> _core.PackedWeights | None:
    entry = _entries.get(key)
    if entry is None or not entry.serves(versions, bias):
        return None
    with suppress(KeyError):    # dropped by another thread in this moment
        _entries.move_to_end(key)
    return entry.packed


def _add(key: tuple[Any, ...], versions: Versions, parameters: Parameters, packed: _core.PackedWeights) -> None:
    weight, bias = parameters
    with _lock:
        _drop(key)
        owner = weakref.ref(weight, lambda _: _forget(key))
        _keep(key, _Entry(versions, packed, owner, None if bias is None else weakref.ref(bias)))


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
