# SPDX-License-Identifier: BSD-3-Clause
"""Convolution: the operation on the tape, the function and the layer."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from fastconv._core import Blocked
from fastconv.autograd import Deferred, Function, Tensor, as_tensor, wants_native
from fastconv.nn._common import Array, IntOrPair, Pair, count, float_type, on_batch
from fastconv.nn.parameter import Parameter
from fastconv.nn.weighted import Weighted, WeightOptions
from fastconv.ops._algorithm import ALGORITHMS
from fastconv.ops._check import flag, integer, pair, word
from fastconv.ops._fold import Normalization
from fastconv.ops._shapes import PADDING_WORDS
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
    parameters = None
    if isinstance(weight, Parameter) and (bias is None or isinstance(bias, Parameter)):
        parameters = weight, bias
    run = Convolution((stride, padding, dilation, groups), padding_mode, algorithm, parameters)
    return on_batch(as_tensor(input), lambda x: run(x, weight, bias))


class Conv2d(Weighted):
    """y[n, k] = bias[k] + sum over c of the cross-correlation of x[n, c] with weight[k, c].

    input (N, in_channels, H, W) or (in_channels, H, W); output (N, out_channels, H', W') with
    H' = floor((H + padding - dilation * (kernel - 1) - 1) / stride) + 1, where padding counts both ends.

    weight: (out_channels, in_channels / groups, kh, kw); bias: (out_channels,). Both start uniform within
    1 / sqrt(in_channels / groups * kh * kw).

    padding: an int, (vertical, horizontal), ((top, bottom), (left, right)), "valid", "same" (output size
        ceil(H / stride), the odd pixel at the end) or "same_lower" (the odd pixel at the start).
    padding_mode: "zeros", "reflect", "replicate" or "circular".
    algorithm: "auto", "direct", "im2col" or "winograd"; where it does not apply, calling raises ValueError.
    options: Keras's kernel_initializer, kernel_regularizer, bias_constraint and so on; see
        :mod:`fastconv.nn.weighted`.

    >>> from fastconv import nn
    >>> nn.Conv2d(3, 8, 3, padding=1)
    Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: IntOrPair, stride: IntOrPair = 1,
        padding: Padding = 0, dilation: IntOrPair = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", *, dtype: Any = None, algorithm: str = "auto", **options: Unpack[WeightOptions],
    ) -> None:
        super().__init__()
        self.in_channels = count("in_channels", in_channels)
        self.out_channels = count("out_channels", out_channels)
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride = pair("stride", stride, 1)
        self.padding = _padding(padding)
        self.dilation = pair("dilation", dilation, 1)
        self.groups = integer("groups", groups, 1)
        self.padding_mode = word("padding_mode", padding_mode, PADDING_MODES)
        self.algorithm = word("algorithm", algorithm, ALGORITHMS)
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ValueError(f"groups must divide {name}={channels}, got {self.groups}")
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        element = float_type(dtype)
        self.weight = Parameter(np.empty(shape, element))
        with_bias = flag("bias", bias)
        bias_array = np.empty(self.out_channels, element)
        self.register_parameter("bias", Parameter(bias_array) if with_bias else None)
        self.take_options(options)

    def forward(self, input: Tensor) -> Tensor:
        y = conv2d(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups,
            padding_mode=self.padding_mode, algorithm=self.algorithm,
        )
        return self.watched(y, 4)

    def extra_repr(self) -> str:
        defaults = {"padding": (0, 0), "dilation": (1, 1), "groups": 1, "bias": True,
                    "padding_mode": "zeros", "algorithm": "auto"}
        values = {**vars(self), "bias": self.bias is not None}
        return ", ".join([
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}",
            *(f"{name}={values[name]}" for name, default in defaults.items() if values[name] != default),
            *self.options_repr(),
        ])


def _padding(value: Any) -> Padding:
    """``padding`` with its numbers checked; which word or pair it is stays as given."""
    if isinstance(value, str):
        return word("padding", value, PADDING_WORDS)
    if isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[0], (tuple, list)):
        return pair("padding[0]", value[0], 0), pair("padding[1]", value[1], 0)
    return pair("padding", value, 0)
