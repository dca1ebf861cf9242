# SPDX-License-Identifier: BSD-3-Clause
"""Transposed convolution: the operation on the tape, the functions and the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from fastconv.autograd import Function, Tensor, as_tensor
from fastconv.errors import ShapeError
from fastconv.nn._common import Array, count, on_batch, several_paddings
from fastconv.nn.parameter import Parameter
from fastconv.nn.weighted import Weighted, WeightOptions, groups_of, unusual
from fastconv.ops import conv_transpose as ops_conv_transpose
from fastconv.ops._algorithm import ALGORITHMS
from fastconv.ops._check import LAYOUTS_OF, several, shown, word
from fastconv.ops._shapes import check_weight


class TransposedConvolution(Function):
    """ops.conv_transpose with its gradients; parameters are stride, padding, output_padding, groups, dilation."""

    def __init__(
        self, parameters: tuple[Any, ...], algorithm: str, axes: int, packed: tuple[Parameter, Parameter | None] | None
    ) -> None:
        self.parameters: Any = parameters
        self.options = LAYOUTS_OF[axes][0], algorithm
        self.how: dict[str, Any] = {"axes": axes, "packed": packed}

    def forward(self, x: Array, weight: Array, bias: Array | None) -> Array:
        self.save(x, weight)
        return ops_conv_transpose.forward(x, weight, bias, self.parameters, *self.options, **self.how)

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        x, weight = self.saved
        needs = self.needs[0], self.needs[1], self.needs[2]
        return ops_conv_transpose.backward(grad, x, weight, self.parameters, *self.options, needs, **self.how)


def _transpose(
    axes: int, input: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None, parameters: tuple[Any, ...],
    algorithm: str,
) -> Tensor:
    packed = None
    if isinstance(weight, Parameter) and (bias is None or isinstance(bias, Parameter)):
        packed = weight, bias
    check_weight(tuple(weight.shape), axes, "(in, out / groups, ")
    run = TransposedConvolution(parameters, algorithm, axes, packed)
    return on_batch(as_tensor(input), lambda x: run(x, weight, bias), axes)


def conv_transpose1d(
    input: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None = None, stride: Any = 1,
    padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1, *, algorithm: str = "auto",
) -> Tensor:
    """:func:`fastconv.ops.conv_transpose1d` on tensors: (N, C, L) or (C, L), weight (C, K / groups, taps).

    >>> import numpy as np
    >>> conv_transpose1d(np.array([[[1.0, 2.0]]]), np.ones((1, 1, 2)), stride=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """
    return _transpose(1, input, weight, bias, (stride, padding, output_padding, groups, dilation), algorithm)


def conv_transpose2d(
    input: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None = None, stride: Any = 1,
    padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1, *, algorithm: str = "auto",
) -> Tensor:
    """:func:`fastconv.ops.conv_transpose2d` on tensors: (N, C, H, W) or (C, H, W), weight (C, K / groups, kh, kw).

    >>> import numpy as np
    >>> conv_transpose2d(np.array([[[[1.0, 2.0]]]]), np.ones((1, 1, 1, 2)), stride=2).tolist()
    [[[[1.0, 1.0, 2.0, 2.0]]]]
    """
    return _transpose(2, input, weight, bias, (stride, padding, output_padding, groups, dilation), algorithm)


def conv_transpose3d(
    input: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None = None, stride: Any = 1,
    padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1, *, algorithm: str = "auto",
) -> Tensor:
    """:func:`fastconv.ops.conv_transpose3d` on tensors: (N, C, D, H, W) or (C, D, H, W).

    weight: (C, K / groups, kd, kh, kw).

    >>> import numpy as np
    >>> conv_transpose3d(np.array([[[[[1.0, 2.0]]]]]), np.ones((1, 1, 1, 1, 1))).tolist()
    [[[[[1.0, 2.0]]]]]
    """
    return _transpose(3, input, weight, bias, (stride, padding, output_padding, groups, dilation), algorithm)


class _ConvTranspose(Weighted):
    """What transposed convolutions of one to three axes share: all but the number of axes."""

    axes: int

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros", *,
        dtype: Any = None, algorithm: str = "auto", **options: Unpack[WeightOptions],
    ) -> None:
        super().__init__()
        self.in_channels = count("in_channels", in_channels)
        self.out_channels = count("out_channels", out_channels)
        self.kernel_size = several("kernel_size", kernel_size, self.axes, 1)
        self.stride = several("stride", stride, self.axes, 1)
        if isinstance(padding, str):
            raise ValueError(f"padding of a transposed convolution must be integers, got {shown(padding)}")
        self.padding = several_paddings(padding, self.axes)
        self.output_padding = several("output_padding", output_padding, self.axes, 0)
        self.dilation = several("dilation", dilation, self.axes, 1)
        self.groups = groups_of(self, groups)
        word("padding_mode", padding_mode, ("zeros",))
        self.algorithm = word("algorithm", algorithm, ALGORITHMS)
        shape = (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        self.make_parameters(shape, (self.out_channels,), bias, dtype)
        self.take_options(options)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        more = self.output_padding if output_size is None else self._padding_for(input.shape, output_size)
        parameters = self.stride, self.padding, more, self.groups, self.dilation
        y = _transpose(self.axes, input, self.weight, self.bias, parameters, self.algorithm)
        return self.watched(y, self.axes + 2)

    def _padding_for(self, shape: tuple[int, ...], output_size: object) -> tuple[int, ...]:
        """The output_padding that gives output_size, of the spatial axes or of all."""
        if isinstance(output_size, (tuple, list)) and len(output_size) == len(shape):
            output_size = output_size[-self.axes:]
        wanted = several("output_size", output_size, self.axes, 1)
        ends = [p if isinstance(p, tuple) else (p, p) for p in self.padding]
        size = shape[-self.axes:]
        least = tuple(
            (n - 1) * s - sum(e) + d * (k - 1) + 1
            for n, s, e, d, k in zip(size, self.stride, ends, self.dilation, self.kernel_size, strict=True)
        )
        more = tuple(w - m for w, m in zip(wanted, least, strict=True))
        most = tuple(m + max(s, d) - 1 for m, s, d in zip(least, self.stride, self.dilation, strict=True))
        if any(m < 0 or w > e for m, w, e in zip(more, wanted, most, strict=True)):
            raise ShapeError(
                f"output_size={wanted} cannot come from an input of size {tuple(size)}: "
                f"between {least} and {most} can"
            )
        return more

    def extra_repr(self) -> str:
        none = (0,) * self.axes
        return ", ".join([
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}",
            *unusual(self, padding=none, output_padding=none, dilation=(1,) * self.axes, groups=1, bias=True,
                     algorithm="auto"),
            *self.options_repr(),
        ])


class ConvTranspose1d(_ConvTranspose):
    """ConvTranspose2d of signals: input (N, in_channels, L) or (in_channels, L), output (N, out_channels, L').

    weight: (in_channels, out_channels / groups, taps); bias: (out_channels,).

    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.ConvTranspose1d(4, 2, 3, stride=2)(np.zeros((1, 4, 5), np.float32)).shape
    (1, 2, 11)
    """

    axes = 1


class ConvTranspose2d(_ConvTranspose):
    """The gradient of a Conv2d as a layer: every pixel adds its filter, times itself, to the output.

    input (N, in_channels, H, W) or (in_channels, H, W); output (N, out_channels, H', W') with
    H' = (H - 1) * stride - padding of both ends + dilation * (kernel - 1) + output_padding + 1.

    weight: (in_channels, out_channels / groups, kh, kw); bias: (out_channels,). Both start uniform within
    1 / sqrt(out_channels / groups * kh * kw), as in PyTorch.

    padding: an int, (vertical, horizontal) or ((top, bottom), (left, right)), taken off the output.
    output_padding: more rows and columns at the end, less than the stride or the dilation; or give the call
        output_size=(H', W'), of which a stride allows several.
    algorithm: "auto", "direct", "im2col" or "winograd". options: as in :class:`Conv2d`.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1)
    >>> x = np.zeros((1, 4, 5, 5), np.float32)
    >>> layer(x).shape, layer(x, output_size=(10, 10)).shape
    ((1, 2, 9, 9), (1, 2, 10, 10))
    """

    axes = 2


class ConvTranspose3d(_ConvTranspose):
    """ConvTranspose2d of volumes: input (N, in_channels, D, H, W) or (in_channels, D, H, W).

    weight: (in_channels, out_channels / groups, kd, kh, kw); bias: (out_channels,).

    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.ConvTranspose3d(4, 2, 2, stride=2)(np.zeros((1, 4, 3, 3, 3), np.float32)).shape
    (1, 2, 6, 6, 6)
    """

    axes = 3
