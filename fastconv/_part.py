# SPDX-License-Identifier: BSD-3-Clause
"""Gradients of slices: zeros need not be made, nor added, for what was not looked at."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv._core import Blocked
from fastconv.ops.conv import BLOCK

Array = np.ndarray[Any, Any]


class Part:
    """A gradient that is ``array`` at ``key``, where no element is named twice, and 0 elsewhere.

    The tape adds it in place to what has arrived, so that the parts of a tensor cost together what it costs once.

    >>> total = Part(np.ones(2), np.s_[:2], (3,)).whole()
    >>> Part(np.ones(2), np.s_[1:], (3,)).add_to(total)
    True
    >>> total.tolist()
    [1.0, 2.0, 1.0]
    """

    __slots__ = ("array", "blocked", "dtype", "key", "shape")

    def __init__(self, array: Array, key: Any, shape: tuple[int, ...], blocked: bool = False) -> None:
        self.array, self.key, self.shape, self.dtype = array, key, shape, array.dtype
        self.blocked = blocked    # then array and key are of the native layout's array, and shape is that of the images

    def whole(self) -> Array | Blocked:
        """The same with the zeros, in memory of its own."""
        shape = self.shape
        if self.blocked:
            shape = (shape[0], shape[1] // BLOCK, *shape[2:], BLOCK)
        full = np.zeros(shape, self.dtype)
        full[self.key] = self.array
        return Blocked(full) if self.blocked else full

    def add_to(self, total: Array | Blocked) -> bool:
        """Add it in place, if ``total`` has the same layout; tells whether."""
        if isinstance(total, Blocked) != self.blocked:
            return False
        array = total.array if isinstance(total, Blocked) else total
        array[self.key] += self.array
        return True
