# SPDX-License-Identifier: BSD-3-Clause
"""Shapes, padding and sliding windows on any number of axes: the geometry common to convolution and pooling."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]
Ends = tuple[int, int]    # before and after
Padding = tuple[Ends, ...]

_NP_PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def repeated(value: int | Sequence[int], axes: int) -> Shape:
    """One number for each axis."""
    if isinstance(value, Sequence):
        assert len(value) == axes, f"{value} has not {axes} entries"
        return tuple(int(v) for v in value)
    return (int(value),) * axes


def resolve_padding(padding: Any, size: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Padding:
    """Turn every form of ``padding`` into one pair (before, after) for each axis."""
    if padding == "valid":
        return ((0, 0),) * len(size)
    if padding == "full":
        return tuple((d * (k - 1),) * 2 for k, d in zip(kernel, dilation, strict=True))
    if padding in ("same", "same_lower"):
        ends = []
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
            total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            small, large = total // 2, total - total // 2
            ends.append((small, large) if padding == "same" else (large, small))
        return tuple(ends)
    if isinstance(padding, str):
        raise ValueError(f'padding: got {padding!r}, expected "valid", "same", "same_lower" or numbers')
    if isinstance(padding, Sequence) and isinstance(padding[0], Sequence):
        return tuple((int(before), int(after)) for before, after in padding)
    return tuple((p, p) for p in repeated(padding, len(size)))


class Windows(NamedTuple):
    """Where the sliding windows lie; every field has one entry for each axis."""

    out: Shape
    kernel: Shape
    stride: Shape
    dilation: Shape
    padding: Padding

    def taps(self) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
        """(tap, pixels): indices of a tap in weights, and of the padded pixels that it reads, one per output."""
        for tap in itertools.product(*map(range, self.kernel)):
            yield (..., *tap), (..., *(self._axis(axis, i) for axis, i in enumerate(tap)))

    def _axis(self, axis: int, tap: int) -> slice:
        start = tap * self.dilation[axis]
        return slice(start, start + (self.out[axis] - 1) * self.stride[axis] + 1, self.stride[axis])

    def reach(self) -> Shape:
        """The extent that the windows reach, from the first padded pixel."""
        return tuple((o - 1) * s + d * (k - 1) + 1 for o, s, d, k in zip(
            self.out, self.stride, self.dilation, self.kernel, strict=True))


def windows_on(
    size: Shape, kernel: Shape, stride: Any, padding: Any, dilation: Any, ceil_mode: bool = False
) -> Windows:
    stride, dilation = repeated(stride, len(size)), repeated(dilation, len(size))
    pads = resolve_padding(padding, size, kernel, stride, dilation)
    out = []
    for n, k, s, d, (lo, hi) in zip(size, kernel, stride, dilation, pads, strict=True):
        room = n + lo + hi - d * (k - 1) - 1
        if room < 0:
            raise ValueError(f"kernel of {k} taps, dilation {d}, does not fit {n} pixels padded by {lo}+{hi}")
        count = (-(-room // s) if ceil_mode else room // s) + 1
        # The last window must start inside the image or its leading padding.
        if ceil_mode and (count - 1) * s >= n + lo:
            count -= 1
        out.append(count)
    return Windows(tuple(out), kernel, stride, dilation, pads)


def channels_second(a: Array, layout: str) -> Array:
    return np.moveaxis(a, -1, 1) if layout.endswith("C") else a


def in_layout(a: Array, layout: str) -> Array:
    """The inverse of channels_second."""
    return np.ascontiguousarray(np.moveaxis(a, 1, -1)) if layout.endswith("C") else a


def per_channel(values: Array | None, axes: int, default: int = 0) -> Any:
    """One number for each channel, as what (N, C, axes...) can be multiplied with."""
    return default if values is None else wide(values).reshape(-1, *(1,) * axes)


def wide(a: Array) -> Array:
    """The argument in the type that the sums are formed in."""
    if a.dtype == np.longdouble:
        return a
    return a.astype(np.int64 if a.dtype.kind in "iub" else np.float64)


def _padded_index(n: int, ends: Ends, mode: str) -> Array:
    """For each padded position the pixel it repeats; -1 where it is a zero."""
    if mode == "zeros":
        return np.pad(np.arange(n), ends, constant_values=-1)
    return np.pad(np.arange(n), ends, mode=_NP_PAD_MODES[mode])  # type: ignore[call-overload,no-any-return]


def padded(x: Array, padding: Padding, mode: str) -> Array:
    """(N, C, spatial...) with its border."""
    for axis, ends in enumerate(padding, 2):
        index = _padded_index(x.shape[axis], ends, mode)
        x = np.take(x, np.maximum(index, 0), axis)
        x[(slice(None),) * axis + (index < 0,)] = 0
    return x


def unpadded(dx: Array, size: Shape, padding: Padding, mode: str) -> Array:
    """The transpose of :func:`padded`: every padded pixel returns its gradient to the pixel it repeats."""
    for axis, (n, ends) in enumerate(zip(size, padding, strict=True), 2):
        index = _padded_index(n, ends, mode)
        inside = index >= 0
        total = np.zeros((*dx.shape[:axis], n, *dx.shape[axis + 1:]), dx.dtype)
        np.add.at(np.moveaxis(total, axis, 0), index[inside], np.moveaxis(dx, axis, 0)[inside])
        dx = total
    return dx
