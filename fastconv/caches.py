# SPDX-License-Identifier: BSD-3-Clause
"""What fastconv keeps between calls, and how to make it forget."""

from typing import NamedTuple

from fastconv import _core
from fastconv.ops import _packed, _plans


class CacheInfo(NamedTuple):
    """plans: checked and planned calls, a few hundred bytes each, at most `plan_limit`.

    packed_weights: weights of layers in the order in which the kernels read them, with `packed_bytes` bytes, at most
    `packed_limit`; each goes with its parameter. scratch_bytes: memory for the scratch buffers and results of later
    calls, at most 256 MiB.
    """

    plans: int
    plan_limit: int
    packed_weights: int
    packed_bytes: int
    packed_limit: int
    scratch_bytes: int


def cache_info() -> CacheInfo:
    """What is kept at the moment.

    >>> import fastconv
    >>> fastconv.cache_clear()
    >>> fastconv.cache_info().packed_bytes
    0
    """
    return CacheInfo(_plans.count(), _plans.LIMIT, *_packed.size(), _packed.LIMIT, _core.scratch_bytes())


def cache_clear() -> None:
    """Forget all of it. Results stay the same; the next calls are slower.

    >>> import fastconv
    >>> fastconv.cache_clear()
    """
    _plans.clear()
    _packed.clear()
    _core.free_scratch()
