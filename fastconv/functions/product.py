# SPDX-License-Identifier: BSD-3-Clause
"""Products of matrices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastconv import ops
from fastconv._conversion import as_tensor
from fastconv._operands import Operand, unbroadcast
from fastconv.autograd import Function
from fastconv.errors import ShapeError
from fastconv.functions._dims import Array
from fastconv.functions.arithmetic import calculated

if TYPE_CHECKING:
    from fastconv._tensor import Tensor


class MatMul(Function):
    """y = a @ b with NumPy's rules for axes; da = g @ b^T, db = a^T @ g."""

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        return product(a, b)

    def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
        a, b = self.saved
        # A vector is a row on the left and a column on the right.
        rows, columns = np.atleast_2d(a), b if b.ndim > 1 else b[:, None]
        if columns.ndim == 2:    # then all matrices on the left are one tall one
            rows = rows.reshape(math.prod(rows.shape[:-1]), rows.shape[-1])
            g = grad.reshape(len(rows), columns.shape[1])
        else:
            lead = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
            g = grad.reshape(*lead, rows.shape[-2], columns.shape[-1])
        da = db = None
        if self.needs[0]:
            da = product(g, columns.swapaxes(-1, -2))
            da = (unbroadcast(da, rows.shape) if columns.ndim > 2 else da).reshape(a.shape)
        if self.needs[1]:
            db = unbroadcast(product(rows.swapaxes(-1, -2), g), columns.shape).reshape(b.shape)
        return da, db


def product(a: Array, b: Array) -> Array:
    """a @ b. One matrix or vector on the right: on fastconv's kernels; a batch of them: on NumPy's matmul."""
    _check_shapes(a.shape, b.shape)
    if b.ndim > 2 or a.dtype.kind != "f" or not (a.size and b.size):
        y: Array = np.matmul(a, b)
    elif b.ndim == 2:
        y = ops.linear(a, b.T)
    else:
        y = ops.linear(a, b[None])[..., 0]
    return y


def _check_shapes(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    if not a or not b:
        raise ShapeError(f"matmul needs vectors or matrices, got input of shape {a} and other of shape {b}")
    if a[-1] != b[-min(len(b), 2)]:
        raise ShapeError(
            f"matmul: input of shape {a} has rows of {a[-1]} elements, other of shape {b} columns of "
            f"{b[-min(len(b), 2)]}: they must be equal; .transpose(-2, -1) exchanges the last two axes"
        )
    if len(b) > 2 and len(a) > 2:
        try:
            np.broadcast_shapes(a[:-2], b[:-2])
        except ValueError:
            raise ShapeError(f"matmul: the leading axes of input {a} and other {b} do not broadcast") from None


def matmul(input: Tensor | Array, other: Operand) -> Tensor:
    """The product of matrices; also written ``input @ other``.

    input: (..., n, k) or (k,). other: (..., k, m) or (k,). The leading axes broadcast; a vector is a row on the left, a
    column on the right, and its axis is missing in the result (..., n, m). float32 and float64 do not mix.

    A single matrix or vector on the right is multiplied by fastconv's kernels, which give the same bits for any number
    of threads and rows. A batch of matrices is handed to NumPy's matmul, whose BLAS promises less.

    Raises ShapeError where the shapes do not fit.

    >>> matmul(np.ones((5, 2, 3)), np.ones((3, 4))).shape
    (5, 2, 4)
    """
    return calculated(MatMul, input, as_tensor(other, "other"))
