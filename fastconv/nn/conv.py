# SPDX-License-Identifier: BSD-3-Clause
"""Convolution: the operation on the tape, the function and the layer."""

from __future__ import annotations

from typing import Any, Unpack

from fastconv._core import Blocked
from fastconv.autograd import Deferred, Function, Tensor, as_tensor, wants_native
from fastconv.nn._common import Array, IntOrPair, Pair, count, on_batch, several_paddings
from fastconv.nn.module import Module
from fastconv.nn.parameter import Parameter
from fastconv.nn.weighted import Weighted, WeightOptions, groups_of, unusual
from fastconv.ops._algorithm import ALGORITHMS
from fastconv.ops._check import several, word
from fastconv.ops._fold import Normalization
from fastconv.ops._shapes import check_weight
from fastconv.ops.conv import PADDING_MODES, Images, Prepared, layer_backward, layer_forward

Padding = int | str | Pair | tuple[Pair, Pair]


class Convolution(Function):
    """ops.conv2d with ops.conv2d_backward. The weights are packed once per version of `parameters`, if given."""

    native = True

    def __init__(
        self, geometry: tuple[Any, Any, Any, Any], padding_mode: str, algorithm: str,
        parameters: tuple[Parameter, Parameter | None] | None = None,
    ) -> None:
        self.problem = geometry, padding_mode, algorithm
        self.parameters = parameters

    def forward(self, x: Images, weight: Array, bias: Array | None) -> Images | Deferred:
        self.save(x, weight)
        prepared = layer_forward(x, weight, bias, *self.problem, self.parameters, wants_native())
        return prepared.run() if self.parameters is None else self._waiting(prepared)

    def _waiting(self, prepared: Prepared) -> Deferred:
        return Deferred(
            prepared.shape, prepared.dtype, prepared.run, lambda: ConvolutionReLU(self, prepared),
            lambda norm: self._with_norm(prepared, norm),
            native=prepared.native, fragile=not isinstance(prepared.x, Blocked),
        )

    def _with_norm(self, prepared: Prepared, norm: Normalization) -> NormalizedConvolution | None:
        assert self.parameters is not None
        normalized = prepared.normalized(self.parameters, norm)
        return None if normalized is None else NormalizedConvolution(self, normalized)

    def backward(self, grad: Images) -> tuple[Images | None, ...]:
        x, weight = self.saved
        needs = self.needs[0], self.needs[1], self.needs[2]
        return layer_backward(grad, x, weight, *self.problem, needs, self.parameters)


class ConvolutionReLU(Convolution):
    """max(0, a convolution that has been prepared), NaN where it is NaN."""

    rectifies = True

    def __init__(self, convolution: Convolution, prepared: Prepared) -> None:
        super().__init__(*convolution.problem, convolution.parameters)
        self.prepared: Prepared | None = prepared

    def forward(self, x: Images, weight: Array, bias: Array | None) -> Images:
        assert self.prepared is not None
        y = self.prepared.run(relu=True)
        self.prepared = None
        self.save(x, weight, y)
        return y

    def backward(self, grad: Images) -> tuple[Images | None, ...]:
        x, weight, y = self.saved
        needs = self.needs[0], self.needs[1], self.needs[2]
        return layer_backward(self.rectified(grad, y), x, weight, *self.problem, needs, self.parameters)


class NormalizedConvolution(Convolution):
    """A convolution that has been prepared with a normalisation in its weights. It has no gradient."""

    def __init__(self, convolution: Convolution, prepared: Prepared) -> None:
        super().__init__(*convolution.problem, convolution.parameters)
        self.prepared = prepared

    def forward(self, x: Images, weight: Array, bias: Array | None) -> Deferred:
        return self._waiting(self.prepared)


def _convolve(
    axes: int, input: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None,
    geometry: tuple[Any, Any, Any, Any], padding_mode: str, algorithm: str,
) -> Tensor:
    parameters = None
    if isinstance(weight, Parameter) and (bias is None or isinstance(bias, Parameter)):
        parameters = weight, bias
    if len(weight.shape) != axes + 2:
        check_weight(tuple(weight.shape), axes)
    run = Convolution(geometry, padding_mode, algorithm, parameters)
    return on_batch(as_tensor(input), lambda x: run(x, weight, bias), axes)


def conv1d(
    input: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None = None, stride: int | tuple[int] = 1,
    padding: Any = 0, dilation: int | tuple[int] = 1, groups: int = 1, *, padding_mode: str = "zeros",
    algorithm: str = "auto",
) -> Tensor:
    """:func:`fastconv.ops.conv1d` on tensors: (N, C, L) or (C, L), weight (K, C / groups, taps).

    >>> import numpy as np
    >>> conv1d(np.ones((1, 1, 3)), np.ones((1, 1, 2))).tolist()
    [[[2.0, 2.0]]]
    """
    return _convolve(1, input, weight, bias, (stride, padding, dilation, groups), padding_mode, algorithm)


def conv2d(
    input: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None = None, stride: IntOrPair = 1,
    padding: Padding = 0, dilation: IntOrPair = 1, groups: int = 1, *, padding_mode: str = "zeros",
    algorithm: str = "auto",
) -> Tensor:
    """:func:`fastconv.ops.conv2d` on tensors: (N, C, H, W) or (C, H, W), weight (K, C / groups, kh, kw).

    >>> import numpy as np
    >>> conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))).tolist()
    [[[[4.0, 4.0], [4.0, 4.0]]]]
    """
    return _convolve(2, input, weight, bias, (stride, padding, dilation, groups), padding_mode, algorithm)


def conv3d(
    input: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None = None, stride: Any = 1,
    padding: Any = 0, dilation: Any = 1, groups: int = 1, *, padding_mode: str = "zeros", algorithm: str = "auto",
) -> Tensor:
    """:func:`fastconv.ops.conv3d` on tensors: (N, C, D, H, W) or (C, D, H, W), weight (K, C / groups, kd, kh, kw).

    >>> import numpy as np
    >>> conv3d(np.ones((1, 1, 2, 2, 3)), np.ones((1, 1, 2, 2, 2))).tolist()
    [[[[[8.0, 8.0]]]]]
    """
    return _convolve(3, input, weight, bias, (stride, padding, dilation, groups), padding_mode, algorithm)


class _Conv(Weighted):
    """What convolutions of one to three axes share: all but the number of axes."""

    axes: int

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", *, dtype: Any = None,
        algorithm: str = "auto", **options: Unpack[WeightOptions],
    ) -> None:
        super().__init__()
        self.in_channels = count("in_channels", in_channels)
        self.out_channels = count("out_channels", out_channels)
        self.kernel_size = several("kernel_size", kernel_size, self.axes, 1)
        self.stride = several("stride", stride, self.axes, 1)
        self.padding = several_paddings(padding, self.axes)
        self.dilation = several("dilation", dilation, self.axes, 1)
        self.groups = groups_of(self, groups)
        self.padding_mode = word("padding_mode", padding_mode, PADDING_MODES)
        self.algorithm = word("algorithm", algorithm, ALGORITHMS)
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.make_parameters(shape, (self.out_channels,), bias, dtype)
        self.take_options(options)

    def forward(self, input: Tensor) -> Tensor:
        geometry = self.stride, self.padding, self.dilation, self.groups
        y = _convolve(self.axes, input, self.weight, self.bias, geometry, self.padding_mode, self.algorithm)
        return self.watched(y, self.axes + 2)

    def extra_repr(self) -> str:
        return ", ".join([
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}",
            *unusual(self, padding=(0,) * self.axes, dilation=(1,) * self.axes, groups=1, bias=True,
                     padding_mode="zeros", algorithm="auto"),
            *self.options_repr(),
        ])


class Conv1d(_Conv):
    """Conv2d of signals: input (N, in_channels, L) or (in_channels, L), output (N, out_channels, L').

    weight: (out_channels, in_channels / groups, taps); bias: (out_channels,). Everything else is as in
    :class:`Conv2d`, with one number where that has a pair; padding may also be ((before, after),).

    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Conv1d(3, 8, 5, padding="same")(np.zeros((2, 3, 20), np.float32)).shape
    (2, 8, 20)
    """

    axes = 1


class Conv2d(_Conv):
    """y[n, k] = bias[k] + sum over c of the cross-correlation of x[n, c] with weight[k, c].

    input (N, in_channels, H, W) or (in_channels, H, W); output (N, out_channels, H', W') with
    H' = floor((H + padding - dilation * (kernel - 1) - 1) / stride) + 1, where padding counts both ends.

    weight: (out_channels, in_channels / groups, kh, kw); bias: (out_channels,). Both start uniform within
    1 / sqrt(in_channels / groups * kh * kw).

    padding: an int, (vertical, horizontal), ((top, bottom), (left, right)), "valid", "same" (output size
        ceil(H / stride), the odd pixel at the end), "same_lower" (the odd pixel at the start) or "full" (all pixels
        that a kernel can lie over).
    padding_mode: "zeros", "reflect", "replicate" or "circular".
    algorithm: "auto", "direct", "im2col" or "winograd"; where it does not apply, calling raises ValueError.
    options: Keras's kernel_initializer, kernel_regularizer, bias_constraint and so on; see
        :mod:`fastconv.nn.weighted`.

    >>> from fastconv import nn
    >>> nn.Conv2d(3, 8, 3, padding=1)
    Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    """

    axes = 2


class Conv3d(_Conv):
    """Conv2d of volumes: input (N, in_channels, D, H, W) or (in_channels, D, H, W).

    weight: (out_channels, in_channels / groups, kd, kh, kw); bias: (out_channels,). Everything else is as in
    :class:`Conv2d`, with three numbers (depth, height, width) where that has a pair.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Conv3d(1, 4, (1, 3, 3), stride=(1, 2, 2))(np.zeros((2, 1, 5, 9, 9), np.float32)).shape
    (2, 4, 5, 4, 4)
    """

    axes = 3


class DepthwiseConv2d(Conv2d):
    """Conv2d with a group for every channel: each has depth_multiplier filters of its own (Keras's DepthwiseConv2D).

    weight: (in_channels * depth_multiplier, 1, kh, kw). Other arguments are those of :class:`Conv2d`.

    >>> from fastconv import nn
    >>> nn.DepthwiseConv2d(8, 3, padding=1).weight.shape
    (8, 1, 3, 3)
    """

    def __init__(
        self, in_channels: int, kernel_size: IntOrPair, stride: IntOrPair = 1, padding: Padding = 0,
        dilation: IntOrPair = 1, depth_multiplier: int = 1, bias: bool = True, padding_mode: str = "zeros",
        **options: Any,
    ) -> None:
        channels = count("in_channels", in_channels)
        self.depth_multiplier = count("depth_multiplier", depth_multiplier)
        super().__init__(
            channels, channels * self.depth_multiplier, kernel_size, stride, padding, dilation, channels, bias,
            padding_mode, **options,
        )


class SeparableConv2d(Module):
    """A depthwise convolution, then a 1x1 convolution of its channels (Keras's SeparableConv2D).

    input (N, in_channels, H, W); output (N, out_channels, H', W'). With kernels of r x s it has r s C + C K weights
    where a convolution has r s C K. state_dict: depthwise.weight, pointwise.weight, pointwise.bias.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.SeparableConv2d(3, 8, 3, padding=1)(np.zeros((1, 3, 5, 5), np.float32)).shape
    (1, 8, 5, 5)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: IntOrPair, stride: IntOrPair = 1,
        padding: Padding = 0, dilation: IntOrPair = 1, depth_multiplier: int = 1, bias: bool = True,
        padding_mode: str = "zeros", *, dtype: Any = None,
    ) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv2d(
            in_channels, kernel_size, stride, padding, dilation, depth_multiplier, False, padding_mode, dtype=dtype,
        )
        self.pointwise = Conv2d(self.depthwise.out_channels, out_channels, 1, bias=bias, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(input))  # type: ignore[no-any-return]
