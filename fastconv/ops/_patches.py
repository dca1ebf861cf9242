# SPDX-License-Identifier: BSD-3-Clause
"""Images as the patches that windows see, and back: one strided copy for each tap of the kernel."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastconv.ops._shapes import Geometry

Array = np.ndarray[Any, Any]
Index = tuple[Any, ...]


class Tap(NamedTuple):
    """One tap of the kernel: the outputs for which it lies on the image, and the pixels it then sees."""

    place: tuple[int, ...]
    outputs: Index
    pixels: Index


def output_size(geometry: Geometry) -> tuple[int, ...]:
    axes = range(len(geometry.size))
    return tuple((geometry.padded_size(a) - geometry.effective_kernel(a)) // geometry.stride[a] + 1 for a in axes)


def taps(geometry: Geometry) -> Iterator[Tap]:
    """All taps, in row-major order."""
    out = output_size(geometry)
    for index in itertools.product(*map(range, geometry.kernel)):
        ranges = [_seen(geometry, axis, i, out[axis]) for axis, i in enumerate(index)]
        yield Tap(index, tuple(o for o, _ in ranges), tuple(p for _, p in ranges))


def _seen(geometry: Geometry, axis: int, tap: int, outputs: int) -> tuple[slice, slice]:
    stride, size = geometry.stride[axis], geometry.size[axis]
    start = tap * geometry.dilation[axis] - geometry.pad_lo[axis]    # of output 0
    first = max(-(start // stride), 0) if start < 0 else 0
    end = max(min((size - 1 - start) // stride + 1, outputs), first)
    pixel = start + first * stride
    return slice(first, end), slice(pixel, pixel + (end - first - 1) * stride + 1 if end > first else pixel, stride)


def gather(x: Array, geometry: Geometry, whole: tuple[int, ...] | None = None) -> Array:
    """(N, C, spatial...) -> (N, C, kernel..., out...), or with more outputs; zeros where there is no pixel."""
    out = output_size(geometry)
    padded = any(geometry.pad_lo + geometry.pad_hi) or whole not in (None, out)
    make = np.zeros if padded else np.empty
    patches = make((*x.shape[:2], *geometry.kernel, *(whole or out)), x.dtype)
    for tap in taps(geometry):
        patches[(slice(None), slice(None), *tap.place, *tap.outputs)] = x[(..., *tap.pixels)]
    return patches


def scatter(patches: Array, geometry: Geometry, x: Array | None = None) -> Array:
    """The transpose of gather: every pixel is the sum of what it is in the patches, added to x."""
    if x is None:
        x = np.zeros((*patches.shape[:2], *geometry.size), patches.dtype)
    for tap in taps(geometry):
        x[(..., *tap.pixels)] += patches[(slice(None), slice(None), *tap.place, *tap.outputs)]
    return x
