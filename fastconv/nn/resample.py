# SPDX-License-Identifier: BSD-3-Clause
"""Layers that change the resolution of images, or the order of channels and pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import ops
from fastconv.autograd import Function, Tensor, as_tensor
from fastconv.errors import ShapeError
from fastconv.nn._common import Array, count
from fastconv.nn.module import Module
from fastconv.ops._check import flag, word
from fastconv.ops.resample import MODES, Scale, Size, scaled_size


class Interpolation(Function):
    """ops.interpolate with ops.interpolate_backward."""

    def __init__(self, *options: Any) -> None:
        self.options = options

    def forward(self, x: Array) -> Array:
        self.size = x.shape
        return ops.interpolate(x, *self.options)

    def backward(self, grad: Array) -> Array:
        return ops.interpolate_backward(grad, self.size, *self.options)


class Shuffle(Function):
    """One of the shuffles of fastconv.ops, and the one that undoes it."""

    def __init__(self, name: str, number: int, back: str, back_number: int) -> None:
        self.there, self.back = (name, number), (back, back_number)

    def forward(self, x: Array) -> Array:
        name, number = self.there
        y: Array = getattr(ops, name)(x, number)
        return y

    def backward(self, grad: Array) -> Array:
        name, number = self.back
        dx: Array = getattr(ops, name)(grad, number)
        return dx


# ---- Functions -------------------------------------------------------------------------------------------


def interpolate(
    input: Tensor | Array, size: Size = None, scale_factor: Scale = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
) -> Tensor:
    """:func:`fastconv.ops.interpolate` on tensors.

    recompute_scale_factor: interpolate by the ratio of the sizes, not by the scale_factor they came from.

    >>> interpolate(np.array([[[0.0, 1.0]]]), scale_factor=2).tolist()
    [[[0.0, 0.0, 1.0, 1.0]]]
    """
    x = as_tensor(input)
    if recompute_scale_factor is not None and flag("recompute_scale_factor", recompute_scale_factor):
        if scale_factor is None or size is not None:
            raise ValueError("recompute_scale_factor=True needs a scale_factor, and no size")
        size = scaled_size(x.shape[2:], scale_factor)
        scale_factor = None
    return Interpolation(size, scale_factor, mode, align_corners)(x)


def _on_images(x: Tensor, name: str, shuffle: Function) -> Tensor:
    """(N, C, H, W), with any number of axes instead of N."""
    if x.ndim == 4:
        return shuffle(x)
    if x.ndim < 3:
        raise ShapeError(f"input of {name} must be (..., C, H, W), got shape {x.shape}")
    y = shuffle(x.reshape(int(np.prod(x.shape[:-3])), *x.shape[-3:]))
    return y.reshape(*x.shape[:-3], *y.shape[1:])


def pixel_shuffle(input: Tensor | Array, upscale_factor: int) -> Tensor:
    """:func:`fastconv.ops.pixel_shuffle` on tensors: (..., C * r^2, H, W) -> (..., C, H * r, W * r).

    >>> pixel_shuffle(np.arange(4.0).reshape(1, 4, 1, 1), 2).tolist()
    [[[[0.0, 1.0], [2.0, 3.0]]]]
    """
    shuffle = Shuffle("pixel_shuffle", upscale_factor, "pixel_unshuffle", upscale_factor)
    return _on_images(as_tensor(input), "pixel_shuffle", shuffle)


def pixel_unshuffle(input: Tensor | Array, downscale_factor: int) -> Tensor:
    """:func:`fastconv.ops.pixel_unshuffle` on tensors: (..., C, H * r, W * r) -> (..., C * r^2, H, W).

    >>> pixel_unshuffle(np.arange(4.0).reshape(1, 1, 2, 2), 2).shape
    (1, 4, 1, 1)
    """
    shuffle = Shuffle("pixel_unshuffle", downscale_factor, "pixel_shuffle", downscale_factor)
    return _on_images(as_tensor(input), "pixel_unshuffle", shuffle)


def channel_shuffle(input: Tensor | Array, groups: int) -> Tensor:
    """:func:`fastconv.ops.channel_shuffle` on tensors.

    >>> channel_shuffle(np.arange(6.0).reshape(1, 6), 2).tolist()
    [[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]]
    """
    x, groups = as_tensor(input), count("groups", groups)
    if x.ndim < 2:
        raise ShapeError(f"input must be (N, C, ...), got shape {x.shape}")
    return Shuffle("channel_shuffle", groups, "channel_shuffle", max(x.shape[1] // groups, 1))(x)


# ---- Layers ----------------------------------------------------------------------------------------------


class Upsample(Module):
    """Images in another resolution; one of size (of the result) and scale_factor must be given.

    mode: "nearest", "nearest-exact", "linear" for (N, C, L), "bilinear" for (N, C, H, W), "trilinear" for
        (N, C, D, H, W), the last three with or without align_corners; see :func:`fastconv.ops.interpolate`.

    >>> from fastconv import nn
    >>> nn.Upsample(scale_factor=2).eval()(np.ones((1, 1, 2, 3))).shape
    (1, 1, 4, 6)
    """

    def __init__(
        self, size: Size = None, scale_factor: Scale = None, mode: str = "nearest", align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.scale_factor = float(scale_factor) if type(scale_factor) is int else scale_factor
        self.mode = word("mode", mode, MODES)
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners,
                           self.recompute_scale_factor)

    def extra_repr(self) -> str:
        given = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{given}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Upsample with mode "nearest", for (N, C, H, W).

    >>> from fastconv import nn
    >>> nn.UpsamplingNearest2d(4).eval()(np.ones((1, 1, 2, 3))).shape
    (1, 1, 4, 4)
    """

    def __init__(self, size: Size = None, scale_factor: Scale = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Upsample with mode "bilinear" and align_corners=True, for (N, C, H, W).

    >>> from fastconv import nn
    >>> nn.UpsamplingBilinear2d(4).eval()(np.ones((1, 1, 2, 3))).shape
    (1, 1, 4, 4)
    """

    def __init__(self, size: Size = None, scale_factor: Scale = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(Module):
    """(..., C * r^2, H, W) -> (..., C, H * r, W * r), r the upscale_factor: channels become the pixels of squares.

    >>> from fastconv import nn
    >>> nn.PixelShuffle(2).eval()(np.ones((1, 8, 2, 3))).shape
    (1, 2, 4, 6)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = count("upscale_factor", upscale_factor)

    def forward(self, input: Tensor) -> Tensor:
        return pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(..., C, H * r, W * r) -> (..., C * r^2, H, W), r the downscale_factor: the inverse of PixelShuffle.

    >>> from fastconv import nn
    >>> nn.PixelUnshuffle(2).eval()(np.ones((1, 2, 4, 6))).shape
    (1, 8, 2, 3)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = count("downscale_factor", downscale_factor)

    def forward(self, input: Tensor) -> Tensor:
        return pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Channel i * (C / groups) + j goes to j * groups + i, so that the next groups see all.

    >>> from fastconv import nn
    >>> nn.ChannelShuffle(2).eval()(np.arange(4.0).reshape(1, 4, 1, 1)).ravel()
    array([0., 2., 1., 3.])
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = count("groups", groups)

    def forward(self, input: Tensor) -> Tensor:
        return channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
