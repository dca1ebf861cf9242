# SPDX-License-Identifier: BSD-3-Clause
"""A border around a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastconv import ops
from fastconv.autograd import Function
from fastconv.functions._dims import Array
from fastconv.ops._check import shown

if TYPE_CHECKING:
    from fastconv._tensor import Tensor


class Pad(Function):
    """y = x with a border; dx gives each element of g to the one it repeats. See :func:`fastconv.ops.pad`."""

    def __init__(self, padding: int | Sequence[int], mode: str, value: float) -> None:
        self.padding, self.mode, self.value = padding, mode, value

    def forward(self, x: Array) -> Array:
        return ops.pad(x, self.padding, self.mode, self.value)

    def backward(self, grad: Array) -> Array:
        return ops.pad_backward(grad, self.padding, self.mode)


def pad(input: Tensor | Array, pad: int | Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """input with a border, or, where a number is negative, cropped. Arguments and errors are those of ops.pad.

    pad: (left, right) of the last axis, then (top, bottom) of the one before it, and so on.
    mode: "constant", "reflect", "replicate" or "circular".

    >>> pad(np.ones(2), (1, 2)).tolist()
    [0.0, 1.0, 1.0, 0.0, 0.0]
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float, np.number))):
        raise TypeError(f"value must be a number, got {shown(value)}")
    return Pad(pad, mode, 0.0 if value is None else float(value))(input)
