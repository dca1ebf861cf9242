# SPDX-License-Identifier: BSD-3-Clause
"""Padding as an operation of its own. Convolutions pad while they pack; this is for everything else."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.errors import ShapeError
from fastconv.ops._border import Border, fold_border
from fastconv.ops._check import MAX_EXTENT, Array, check_bytes, float_array, integer, shown, word

PAD_MODES = ("constant", "reflect", "replicate", "circular")

_NUMPY_MODES: dict[str, Any] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
_Ends = list[tuple[int, int]]


def pad(x: Array, padding: int | Sequence[int], mode: str = "constant", value: float = 0.0) -> Array:
    """x with a border around its last axes; in the order of torch.nn.functional.pad, the last axis first.

    x: any number of axes. padding: (left, right) of the last axis, then (top, bottom) of the one before, and so on;
    an int pads the last two axes, or the only one, on all sides. Negative numbers crop.
    mode: "constant" (value), "reflect" (c b|a b c d|c b), "replicate" (a a|a b c d|d d) or "circular"
        (c d|a b c d|a b). Reflection takes less than the size of an axis, "circular" at most it, and neither crops.
    value: of a constant border.

    Returns a new array of x's dtype. Raises TypeError for a wrong type, ShapeError where there are more pairs than
    axes, or nothing would be left, or an axis is too short for its border; ValueError for another mode.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.pad(np.array([1.0, 2.0, 3.0]), (2, 1), "reflect").tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    >>> ops.pad(np.ones((2, 2)), (0, 0, 1, -1), value=7.0).tolist()
    [[7.0, 7.0], [1.0, 1.0]]
    """
    x = float_array("x", x)
    word("mode", mode, PAD_MODES)
    ends = _ends(padding, x.shape, mode)
    grown = tuple(n + lo + hi for n, (lo, hi) in zip(x.shape, ends, strict=True))
    check_bytes("the padded array", grown, x.dtype)
    if mode != "constant":
        return np.pad(x, ends, mode=_NUMPY_MODES[mode])
    y = np.full(grown, value, x.dtype)
    inside, part = _overlap(ends, x.shape)
    y[inside] = x[part]
    return y


def pad_backward(grad_output: Array, padding: int | Sequence[int], mode: str = "constant") -> Array:
    """The gradient of sum(grad_output * pad(x, padding, mode)) with respect to x.

    grad_output: of the shape of pad's result. Each element goes back to the one it repeats; a constant's is dropped.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.pad_backward(np.array([1.0, 10.0, 100.0, 1000.0, 1e4, 1e5]), (2, 1), "reflect").tolist()
    [100.0, 101010.0, 10001.0]
    """
    grad_output = float_array("grad_output", grad_output)
    word("mode", mode, PAD_MODES)
    ends = _checked("padding", padding, grad_output.ndim)
    shape = tuple(n - lo - hi for n, (lo, hi) in zip(grad_output.shape, ends, strict=True))
    if min(shape, default=1) < 1:
        raise ShapeError(f"grad_output of shape {grad_output.shape} is smaller than padding={shown(padding)}")
    _check_border(ends, shape, mode)
    if mode != "constant":
        border = Border(mode, tuple(lo for lo, _ in ends), tuple(hi for _, hi in ends))
        return np.ascontiguousarray(fold_border(grad_output.copy(), border, 0))
    dx = np.zeros(shape, grad_output.dtype)
    inside, part = _overlap(ends, shape)
    dx[part] = grad_output[inside]
    return dx


def _ends(padding: object, shape: tuple[int, ...], mode: str) -> _Ends:
    """(before, after) of every axis, the first one first."""
    ends = _checked("padding", padding, len(shape))
    for n, (lo, hi) in zip(shape, ends, strict=True):
        if n + lo + hi < 1 or n + min(lo, 0) + min(hi, 0) < 0:
            raise ShapeError(f"padding={shown(padding)} leaves nothing of an axis of {n}: x has shape {shape}")
    _check_border(ends, shape, mode)
    return ends


def _checked(name: str, padding: object, axes: int) -> _Ends:
    if not isinstance(padding, Sequence):
        number = integer(name, padding, -MAX_EXTENT)
        padding = (number,) * (2 * min(axes, 2))
    if isinstance(padding, str) or len(padding) % 2:
        raise ValueError(f"{name} must be an integer or pairs of integers, the last axis first, got {shown(padding)}")
    if len(padding) > 2 * axes:
        raise ShapeError(f"{name}={shown(padding)} has {len(padding) // 2} pairs, but there are only {axes} axes")
    numbers = [integer(f"{name}[{i}]", v, -MAX_EXTENT) for i, v in enumerate(padding)]
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    return [(0, 0)] * (axes - len(pairs)) + pairs[::-1]


def _check_border(ends: _Ends, shape: tuple[int, ...], mode: str) -> None:
    if mode == "constant":
        return
    for axis, (n, pair) in enumerate(zip(shape, ends, strict=True)):
        if min(pair) < 0:
            raise ValueError(f"padding={pair} of axis {axis} crops; mode={mode!r} can only grow")
        most = n - 1 if mode == "reflect" else n if mode == "circular" else MAX_EXTENT
        if max(pair) > most:
            raise ShapeError(
                f"padding={max(pair)} with mode={mode!r} is too much for axis {axis} of {n}: at most {most}. "
                "Pad less, or use mode='replicate'."
            )


def _overlap(ends: _Ends, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where the array lies in the padded one, and which part of it does."""
    inside = tuple(slice(max(lo, 0), n + lo + min(hi, 0)) for n, (lo, hi) in zip(shape, ends, strict=True))
    part = tuple(slice(max(-lo, 0), n + min(hi, 0)) for n, (lo, hi) in zip(shape, ends, strict=True))
    return inside, part
