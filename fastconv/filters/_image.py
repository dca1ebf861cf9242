# SPDX-License-Identifier: BSD-3-Clause
"""An image on its way through a filter: checked, framed by its border, correlated by ops.conv2d, given back.

Inside, an image is planes (C, 1, H, W): a batch of one-channel images, so that each channel is filtered apart by the
same kernel. Kernels of one channel run directly, never by Winograd, so sums of small integers are exact.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastconv.errors import ShapeError
from fastconv.ops._check import FLOAT32, FLOAT64, Array, base_array, check_bytes, integer, shown, word
from fastconv.ops.conv import conv2d

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

#: numpy.pad's names of the borders. Zeros need no frame: conv2d knows them.
_FRAMES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
PADDING_MODES = ("zeros", *_FRAMES)

_INTEGERS = tuple(np.dtype(t) for t in (np.uint8, np.int8, np.uint16, np.int16))
_RESULTS: tuple[np.dtype[Any], ...] = (FLOAT32, FLOAT64, *_INTEGERS)

#: The largest distance at which a pixel counts: of larger kernels the frame would be larger than any image.
MAX_RADIUS = 2**15

#: From this many taps on two passes take less time than one: measured, 0.80 against 0.92 ms for 5 taps on a
#: megapixel, 0.73 against 0.49 ms for 3.
TWO_PASSES = 5


class Image(NamedTuple):
    """An image and the options of a filter, checked."""

    planes: Array    # (C, 1, H, W), a view of the caller's
    channel_axis: int | None
    padding_mode: str
    work: np.dtype[Any]    # what the sums are formed in
    dtype: np.dtype[Any]    # of the result

    def correlate(self, *kernels: Array, divisor: int = 1) -> list[Array]:
        """The planes (C, 1, H, W) correlated with each of these kernels, which have one shape, over divisor.

            y[i, j] = sum over u, v of  x[i + u - (height - 1) // 2, j + v - (width - 1) // 2] * kernel[u, v] / divisor
        """
        return self._correlate(self.planes, kernels, divisor)

    def separably(self, vertical: Array, horizontal: Array, divisor: int = 1) -> Array:
        """The planes correlated with the outer product of the two."""
        if max(len(vertical), len(horizontal)) < TWO_PASSES:
            return self.correlate(np.outer(vertical, horizontal), divisor=divisor)[0]
        (columns,) = self._correlate(self.planes, [vertical[:, None]], 1)
        (planes,) = self._correlate(columns, [horizontal[None, :]], divisor)
        return planes

    def result(self, planes: Array) -> Array:
        """The planes, which nobody else needs, as an array like the caller's, rounded and saturated if of integers."""
        if self.dtype.kind != "f":
            if np.isnan(planes.min()):
                raise ValueError(f"the filtered image has NaN, which no {self.dtype} can hold; leave out dtype")
            limits = np.iinfo(self.dtype)
            np.clip(np.rint(planes, out=planes), limits.min, limits.max, out=planes)
        planes = planes[:, 0].astype(self.dtype, copy=False)
        if self.channel_axis is not None:
            return np.ascontiguousarray(np.moveaxis(planes, 0, self.channel_axis))
        grey: Array = planes[0]
        return grey

    def _correlate(self, planes: Array, kernels: Sequence[Array], divisor: int) -> list[Array]:
        weight = np.stack(kernels)[:, None].astype(self.work)
        frame = tuple(((n - 1) // 2, n // 2) for n in weight.shape[2:])
        if self.padding_mode == "zeros":
            y = conv2d(planes.astype(self.work, copy=False), weight, padding=(frame[0], frame[1]), algorithm="direct")
        else:
            mode: Any = _FRAMES[self.padding_mode]
            framed = np.pad(planes, ((0, 0), (0, 0), *frame), mode=mode)
            y = conv2d(framed.astype(self.work, copy=False), weight, algorithm="direct")
        if divisor != 1:
            y /= divisor
        return [y[:, k : k + 1] for k in range(len(weight))]


def checked(image: object, padding_mode: object, channel_axis: object, dtype: DTypeLike | None) -> Image:
    """The image and the options that all filters share; see fastconv.filters for the errors."""
    pixels = base_array("image", image)
    if pixels.dtype.kind not in "buif" or pixels.dtype.itemsize > 8:
        raise TypeError(f"image must be of booleans, integers or floats of up to 64 bits, got {pixels.dtype}")
    axis = None if channel_axis is None else _channel_axis(pixels, channel_axis)
    if axis is None and pixels.ndim != 2:
        hint = "; say which axis holds the colours: channel_axis=-1" if pixels.ndim == 3 else ""
        raise ShapeError(f"image must have two axes, (H, W), got shape {pixels.shape}{hint}")
    if not pixels.size:
        raise ShapeError(f"image is empty: shape {pixels.shape}")
    planes = (pixels[None] if axis is None else np.moveaxis(pixels, axis, 0))[:, None]
    work = np.result_type(pixels.dtype, FLOAT32)
    check_bytes("the filtered image", pixels.shape, work)
    border = word("padding_mode", padding_mode, PADDING_MODES)
    return Image(planes, axis, border, work, work if dtype is None else _result_dtype(dtype))


def _channel_axis(pixels: Array, value: object) -> int:
    if pixels.ndim != 3:
        raise ShapeError(
            f"image must have three axes, of which channel_axis={shown(value)} holds the channels, got shape "
            f"{pixels.shape}; leave out channel_axis for greyscale"
        )
    return integer("channel_axis", value, -3, 2) % 3


def _result_dtype(value: DTypeLike) -> np.dtype[Any]:
    with contextlib.suppress(TypeError):
        dtype: np.dtype[Any] = np.dtype(value)
        if dtype in _RESULTS:
            return dtype
    raise TypeError(f"dtype must be one of {', '.join(t.name for t in _RESULTS)}, got {shown(value)}")


def positive(name: str, value: object) -> float:
    """`value` as a finite number above zero."""
    number = real(name, value)
    if not number > 0:
        raise ValueError(f"{name} must be above 0, got {shown(value)}")
    return number


def real(name: str, value: object) -> float:
    """`value` as a finite number."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {shown(value)}")
    return float(value)
