# SPDX-License-Identifier: BSD-3-Clause
"""Images in another resolution: nearest and linear interpolation, and shuffles of pixels and channels."""

import math
from typing import Any, NamedTuple

import numpy as np

from fastconv.errors import ShapeError
from fastconv.ops._check import Array, Shape, check_bytes, flag, float_array, integer, several, shown, word
from fastconv.ops._shapes import check_grad_output, image_axes

MODES = ("nearest", "nearest-exact", "linear", "bilinear", "trilinear")

_AXES_OF = {"linear": 1, "bilinear": 2, "trilinear": 3}
_LAYOUTS = {3: "NCL", 4: "NCHW", 5: "NCDHW"}

Size = int | tuple[int, ...] | None
Scale = float | tuple[float, ...] | None


def interpolate(
    x: Array, size: Size = None, scale_factor: Scale = None, mode: str = "nearest", align_corners: bool | None = None
) -> Array:
    """Resample images: torch.nn.functional.interpolate.

    x: (N, C, L), (N, C, H, W) or (N, C, D, H, W). One of size (of the result) and scale_factor must be given: a number
    for all spatial axes, or one for each; a scaled size is rounded down.
    mode: "nearest" (pixel floor(i * scale)), "nearest-exact" (floor((i + 1/2) * scale)), or linear interpolation:
        "linear" on one axis, "bilinear" on two, "trilinear" on three, where output i lies at
        (i + 1/2) * scale - 1/2 of the input, or, with align_corners, at i * (n_in - 1) / (n_out - 1).
        scale is n_in / n_out, or 1 / scale_factor where that is given.

    Returns (N, C, size...) of x's dtype. Raises ValueError where both or none of size and scale_factor are given, or
    mode does not fit the axes of x; align_corners is for linear modes only.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.interpolate(np.array([[[0.0, 1.0]]]), scale_factor=2).tolist()
    [[[0.0, 0.0, 1.0, 1.0]]]
    >>> ops.interpolate(np.array([[[0.0, 1.0]]]), size=4, mode="linear").tolist()
    [[[0.0, 0.25, 0.75, 1.0]]]
    """
    x = float_array("x", x)
    for axis, weights in enumerate(_plan(x.shape, size, scale_factor, mode, align_corners, x.dtype), 2):
        x = weights.apply(x, axis)
    return np.ascontiguousarray(x)


def interpolate_backward(
    grad_output: Array, input_size: tuple[int, ...], size: Size = None, scale_factor: Scale = None,
    mode: str = "nearest", align_corners: bool | None = None,
) -> Array:  # fmt: skip
    """The gradient of sum(grad_output * interpolate(x, ...)) with respect to x, whose shape is input_size.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.interpolate_backward(np.array([[[1.0, 2.0, 3.0, 4.0]]]), (1, 1, 2), scale_factor=2).tolist()
    [[[3.0, 7.0]]]
    """
    dx = float_array("grad_output", grad_output)
    plan = _plan(tuple(input_size), size, scale_factor, mode, align_corners, dx.dtype)
    expected = (*input_size[:2], *(len(weights.near) for weights in plan))
    check_grad_output(dx.shape, expected, _LAYOUTS[len(expected)])
    for axis, weights in reversed(list(enumerate(plan, 2))):
        dx = weights.transpose(dx, axis, input_size[axis])
    return dx


class _Weights(NamedTuple):
    """Output i of an axis is input near[i], or (1 - t[i]) of it and t[i] of input far[i]."""

    near: Any
    far: Any
    t: Any    # None: nearest

    def apply(self, x: Array, axis: int) -> Array:
        y: Array = np.take(x, self.near, axis)
        if self.t is None:
            return y
        t = self._along(axis, x.ndim)
        y *= 1 - t
        y += t * np.take(x, self.far, axis)
        return y

    def transpose(self, dy: Array, axis: int, size: int) -> Array:
        shape = (*dy.shape[:axis], size, *dy.shape[axis + 1:])
        dx = np.zeros(shape, dy.dtype)
        if self.t is None:
            _add_runs(dx, dy, self.near, axis)
        else:
            t = self._along(axis, dy.ndim)
            _add_runs(dx, dy * (1 - t), self.near, axis)
            _add_runs(dx, dy * t, self.far, axis)
        return dx

    def _along(self, axis: int, axes: int) -> Array:
        shape = [1] * axes
        shape[axis] = -1
        return self.t.reshape(shape)  # type: ignore[no-any-return]


def _add_runs(dx: Array, dy: Array, index: Any, axis: int) -> None:
    """dx[index] += dy along an axis; index never decreases."""
    if not len(index):
        return
    starts = np.flatnonzero(np.diff(index, prepend=-1))
    dx[(slice(None),) * axis + (index[starts],)] += np.add.reduceat(dy, starts, axis)


def _plan(
    shape: Shape, size: object, scale_factor: object, mode: object, align_corners: object, dtype: Any
) -> list[_Weights]:
    mode = word("mode", mode, MODES)
    if len(shape) not in _LAYOUTS:
        raise ShapeError(f"x must be (N, C, L), (N, C, H, W) or (N, C, D, H, W), got shape {shape}")
    image_axes("x", shape, _LAYOUTS[len(shape)])
    axes = len(shape) - 2
    if mode in _AXES_OF and _AXES_OF[mode] != axes:
        fitting = next(m for m, a in _AXES_OF.items() if a == axes)
        raise ValueError(f"mode={mode!r} is for {_AXES_OF[mode]} spatial axes, x has {axes}: use {fitting!r}")
    if align_corners is not None and mode not in _AXES_OF:
        raise ValueError(f"align_corners is for linear modes only, got mode={mode!r}")
    corners = False if align_corners is None else flag("align_corners", align_corners)
    out, scales = _sizes(shape[2:], size, scale_factor)
    check_bytes("the output", (*shape[:2], *out), np.dtype(dtype))
    return [_weights(n, o, s, mode, corners, dtype) for n, o, s in zip(shape[2:], out, scales, strict=True)]


def scaled_size(spatial: Shape, scale_factor: object) -> Shape:
    """The spatial axes of the result where a scale_factor is given."""
    return _sizes(spatial, None, scale_factor)[0]


def _sizes(spatial: Shape, size: object, scale_factor: object) -> tuple[Shape, list[float]]:
    """The size of the result, and the step of one of its pixels on the input."""
    if (size is None) == (scale_factor is None):
        given = f"size={shown(size)}, scale_factor={shown(scale_factor)}"
        raise ValueError(f"give one of size and scale_factor, got {given}")
    if size is not None:
        out = several("size", size, len(spatial), 1)
        return out, [n / o for n, o in zip(spatial, out, strict=True)]
    factors: list[Any] = [scale_factor] * len(spatial)
    if isinstance(scale_factor, (tuple, list)):
        factors = list(scale_factor)
    if len(factors) != len(spatial):
        raise ValueError(f"scale_factor must be a number or {len(spatial)} numbers, got {shown(scale_factor)}")
    for factor in factors:
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 < factor < math.inf:
            raise ValueError(f"scale_factor must be a finite number above 0, got {shown(factor)}")
    out = tuple(int(n * f) for n, f in zip(spatial, factors, strict=True))
    if 0 in out:
        raise ShapeError(f"scale_factor={shown(scale_factor)} leaves nothing of x, which is {spatial}")
    return out, [1 / f for f in factors]


def _weights(n: int, out: int, scale: float, mode: str, corners: bool, dtype: Any) -> _Weights:
    i = np.arange(out)
    if mode.startswith("nearest"):
        at = i * scale if mode == "nearest" else (i + 0.5) * scale
        return _Weights(np.minimum(at.astype(np.int64), n - 1), None, None)
    if corners:
        at = i * ((n - 1) / (out - 1)) if out > 1 else i * 0.0
    else:
        at = np.maximum((i + 0.5) * scale - 0.5, 0)
    near = np.minimum(at.astype(np.int64), n - 1)
    return _Weights(near, np.minimum(near + 1, n - 1), (at - near).clip(0, 1).astype(dtype))


# ---- shuffles --------------------------------------------------------------------------------------------


def pixel_shuffle(x: Array, upscale_factor: int) -> Array:
    """(N, C * r^2, H, W) -> (N, C, H * r, W * r), r the factor.

    Channel c * r^2 + i * r + j becomes the pixels (i, j) of each r x r square of channel c. Raises ShapeError where
    r^2 does not divide the channels. The gradient is pixel_unshuffle's.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.pixel_shuffle(np.arange(4.0).reshape(1, 4, 1, 1), 2).tolist()
    [[[[0.0, 1.0], [2.0, 3.0]]]]
    """
    x, r = float_array("x", x), integer("upscale_factor", upscale_factor, 1)
    batch, channels, (height, width) = image_axes("x", x.shape, "NCHW")
    if channels % r**2:
        raise ShapeError(f"upscale_factor={r} needs a multiple of {r * r} channels, x has {channels}")
    parts = x.reshape(batch, channels // r**2, r, r, height, width)
    return parts.transpose(0, 1, 4, 2, 5, 3).reshape(batch, channels // r**2, height * r, width * r)


def pixel_unshuffle(x: Array, downscale_factor: int) -> Array:
    """(N, C, H * r, W * r) -> (N, C * r^2, H, W): the inverse of pixel_shuffle, and its gradient.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.pixel_unshuffle(np.arange(4.0).reshape(1, 1, 2, 2), 2).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    x, r = float_array("x", x), integer("downscale_factor", downscale_factor, 1)
    batch, channels, (height, width) = image_axes("x", x.shape, "NCHW")
    if height % r or width % r:
        raise ShapeError(f"downscale_factor={r} does not divide the height and width {height, width} of x")
    parts = x.reshape(batch, channels, height // r, r, width // r, r)
    return parts.transpose(0, 1, 3, 5, 2, 4).reshape(batch, channels * r**2, height // r, width // r)


def channel_shuffle(x: Array, groups: int) -> Array:
    """(N, C, spatial...): channel i * (C / groups) + j goes to j * groups + i, so that the next groups see all.

    Raises ShapeError where groups does not divide C. The gradient is channel_shuffle(grad, C // groups).

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.channel_shuffle(np.arange(6.0).reshape(1, 6, 1), 2).ravel().tolist()
    [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    """
    x, groups = float_array("x", x), integer("groups", groups, 1)
    if x.ndim < 2:
        raise ShapeError(f"x must be (N, C, ...), got shape {x.shape}")
    channels = x.shape[1]
    if channels % groups:
        raise ShapeError(f"groups={groups} does not divide the {channels} channels of x")
    parts = x.reshape(len(x), groups, channels // groups, *x.shape[2:])
    return parts.swapaxes(1, 2).reshape(x.shape)
