# SPDX-License-Identifier: BSD-3-Clause
"""Layers whose weights change from place to place, and those that only rearrange patches."""

from __future__ import annotations

from typing import Any, Unpack

from fastconv import ops
from fastconv.autograd import Function, Tensor, as_tensor
from fastconv.nn._common import Array, IntOrPair, count, on_batch, several_paddings
from fastconv.nn.module import Module
from fastconv.nn.weighted import Weighted, WeightOptions, unusual
from fastconv.ops._check import pair, several
from fastconv.ops._patches import output_size
from fastconv.ops._shapes import conv_geometry


class _Local(Function):
    """One of the functions of ops.local, with its gradients."""

    def __init__(self, name: str, parameters: tuple[Any, ...]) -> None:
        self.name, self.parameters = name, parameters

    def forward(self, x: Array, weight: Array, bias: Array | None) -> Array:
        self.save(x, weight)
        y: Array = getattr(ops, self.name)(x, weight, bias, *self.parameters)
        return y

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        needs = self.needs[0], self.needs[1], self.needs[2]
        gradients: tuple[Array | None, ...] = getattr(ops, self.name + "_backward")(
            grad, *self.saved, *self.parameters, needs=needs
        )
        return gradients


def _local(
    name: str, axes: int, input: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None,
    parameters: tuple[Any, ...],
) -> Tensor:
    return on_batch(as_tensor(input), lambda x: _Local(name, parameters)(x, weight, bias), axes)


def locally_connected1d(
    input: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None = None, stride: Any = 1,
    padding: Any = 0, dilation: Any = 1,
) -> Tensor:
    """:func:`fastconv.ops.locally_connected1d` on tensors.

    >>> import numpy as np
    >>> locally_connected1d(np.ones((1, 1, 3)), np.arange(4.0).reshape(2, 1, 1, 2)).tolist()
    [[[1.0, 5.0]]]
    """
    return _local("locally_connected1d", 1, input, weight, bias, (stride, padding, dilation))


def locally_connected2d(
    input: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None = None, stride: Any = 1,
    padding: Any = 0, dilation: Any = 1,
) -> Tensor:
    """:func:`fastconv.ops.locally_connected2d` on tensors.

    >>> import numpy as np
    >>> locally_connected2d(np.ones((1, 1, 1, 3)), np.arange(4.0).reshape(1, 2, 1, 1, 1, 2)).tolist()
    [[[[1.0, 5.0]]]]
    """
    return _local("locally_connected2d", 2, input, weight, bias, (stride, padding, dilation))


def tiled_conv2d(
    input: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None = None, stride: Any = 1,
    padding: Any = 0, dilation: Any = 1,
) -> Tensor:
    """:func:`fastconv.ops.tiled_conv2d` on tensors.

    >>> import numpy as np
    >>> tiled_conv2d(np.ones((1, 1, 1, 4)), np.array([1.0, 2.0]).reshape(1, 2, 1, 1, 1, 1)).tolist()
    [[[[1.0, 2.0, 1.0, 2.0]]]]
    """
    return _local("tiled_conv2d", 2, input, weight, bias, (stride, padding, dilation))


class _LocalLayer(Weighted):
    """What these layers share: a kernel for each place of a cycle, out_channels * in_channels * kernel weights each."""

    axes: int
    function: str

    def _begin(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any
    ) -> None:
        self.in_channels = count("in_channels", in_channels)
        self.out_channels = count("out_channels", out_channels)
        self.kernel_size = several("kernel_size", kernel_size, self.axes, 1)
        self.stride = several("stride", stride, self.axes, 1)
        self.padding = several_paddings(padding, self.axes)
        self.dilation = several("dilation", dilation, self.axes, 1)

    def _end(self, cycle: tuple[int, ...], bias: bool, dtype: Any, options: WeightOptions) -> None:
        self.places = self.axes
        shape = (*cycle, self.out_channels, self.in_channels, *self.kernel_size)
        self.make_parameters(shape, (self.out_channels, *cycle), bias, dtype)
        self.take_options(options)

    def forward(self, input: Tensor) -> Tensor:
        parameters = self.stride, self.padding, self.dilation
        y = _local(self.function, self.axes, input, self.weight, self.bias, parameters)
        return self.watched(y, self.axes + 2)

    def extra_repr(self) -> str:
        first = "input_size" if hasattr(self, "input_size") else "tiles"
        return ", ".join([
            f"{self.in_channels}, {self.out_channels}, {first}={getattr(self, first)}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}",
            *unusual(self, padding=(0,) * self.axes, dilation=(1,) * self.axes, bias=True),
            *self.options_repr(),
        ])


class LocallyConnected1d(_LocalLayer):
    """Conv1d without shared weights: every output position has a kernel and a bias of its own (Keras 2's layer).

    input (N, in_channels, input_size) or (in_channels, input_size); output (N, out_channels, OL).
    weight: (OL, out_channels, in_channels, taps); bias: (out_channels, OL). stride, padding, dilation: as in Conv1d.

    >>> from fastconv import nn
    >>> nn.LocallyConnected1d(3, 4, input_size=10, kernel_size=3).weight.shape
    (8, 4, 3, 3)
    """

    axes = 1
    function = "locally_connected1d"

    def __init__(
        self, in_channels: int, out_channels: int, input_size: Any, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, dilation: Any = 1, bias: bool = True, *, dtype: Any = None, **options: Unpack[WeightOptions],
    ) -> None:
        super().__init__()
        self._begin(in_channels, out_channels, kernel_size, stride, padding, dilation)
        self.input_size = several("input_size", input_size, self.axes, 1)
        geometry = conv_geometry(
            self.input_size, (1, 1, *self.kernel_size), self.stride, self.padding, self.dilation
        )
        self._end(output_size(geometry), bias, dtype, options)


class LocallyConnected2d(LocallyConnected1d):
    """Conv2d without shared weights: every output position has a kernel and a bias of its own (Keras 2's layer).

    input (N, in_channels, H, W) or (in_channels, H, W) of input_size = (H, W); output (N, out_channels, OH, OW).
    weight: (OH, OW, out_channels, in_channels, kh, kw); bias: (out_channels, OH, OW). Every kernel starts as that of a
    Conv2d. stride, padding, dilation: as in :class:`Conv2d`.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.LocallyConnected2d(1, 4, input_size=(6, 6), kernel_size=3)
    >>> layer.weight.shape, layer(np.zeros((2, 1, 6, 6), np.float32)).shape
    ((4, 4, 4, 1, 3, 3), (2, 4, 4, 4))
    """

    axes = 2
    function = "locally_connected2d"


class TiledConv2d(_LocalLayer):
    """Conv2d by kernels that take turns: output (i, j) is that of kernel (i mod tiles[0], j mod tiles[1]).

    With tiles = 1 it is a Conv2d, with as many tiles as outputs a LocallyConnected2d; see Goodfellow, Bengio and
    Courville, Deep Learning, 2016, section 9.5.

    input (N, in_channels, H, W) or (in_channels, H, W); output (N, out_channels, OH, OW).
    weight: (tiles[0], tiles[1], out_channels, in_channels, kh, kw); bias: (out_channels, tiles[0], tiles[1]).

    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.TiledConv2d(1, 4, tiles=2, kernel_size=3)(np.zeros((2, 1, 6, 6), np.float32)).shape
    (2, 4, 4, 4)
    """

    axes = 2
    function = "tiled_conv2d"

    def __init__(
        self, in_channels: int, out_channels: int, tiles: IntOrPair, kernel_size: IntOrPair, stride: IntOrPair = 1,
        padding: Any = 0, dilation: IntOrPair = 1, bias: bool = True, *, dtype: Any = None,
        **options: Unpack[WeightOptions],
    ) -> None:
        super().__init__()
        self._begin(in_channels, out_channels, kernel_size, stride, padding, dilation)
        self.tiles = pair("tiles", tiles, 1)
        self._end(self.tiles, bias, dtype, options)


# ---- patches ---------------------------------------------------------------------------------------------


class _Unfold(Function):
    def __init__(self, parameters: tuple[Any, ...]) -> None:
        self.parameters = parameters

    def forward(self, x: Array) -> Array:
        self.size = x.shape
        return ops.unfold(x, *self.parameters)

    def backward(self, grad: Array) -> Array:
        return ops.unfold_backward(grad, self.size, *self.parameters)


class _Fold(Function):
    def __init__(self, output_size: Any, parameters: tuple[Any, ...]) -> None:
        self.size, self.parameters = output_size, parameters

    def forward(self, x: Array) -> Array:
        return ops.fold(x, self.size, *self.parameters)

    def backward(self, grad: Array) -> Array:
        return ops.fold_backward(grad, *self.parameters)


def unfold(
    input: Tensor | Array, kernel_size: IntOrPair, dilation: IntOrPair = 1, padding: Any = 0, stride: IntOrPair = 1
) -> Tensor:
    """:func:`fastconv.ops.unfold` on tensors: (N, C, H, W) -> (N, C * kh * kw, L); or one image (C, H, W).

    >>> import numpy as np
    >>> unfold(np.ones((1, 3, 4, 4)), 2).shape
    (1, 12, 9)
    """
    parameters = kernel_size, dilation, padding, stride
    return on_batch(as_tensor(input), lambda x: _Unfold(parameters)(x))


def fold(
    input: Tensor | Array, output_size: IntOrPair, kernel_size: IntOrPair, dilation: IntOrPair = 1, padding: Any = 0,
    stride: IntOrPair = 1,
) -> Tensor:
    """:func:`fastconv.ops.fold` on tensors: (N, C * kh * kw, L) -> (N, C, H, W); or one matrix of columns.

    >>> import numpy as np
    >>> fold(np.ones((1, 12, 9)), 4, 2).shape
    (1, 3, 4, 4)
    """
    parameters = kernel_size, dilation, padding, stride
    return on_batch(as_tensor(input), lambda x: _Fold(output_size, parameters)(x), 1)


class Unfold(Module):
    """The patches of images as columns: (N, C, H, W) -> (N, C * kh * kw, L). See :func:`fastconv.ops.unfold`.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Unfold(2).eval()(np.zeros((1, 3, 4, 4))).shape
    (1, 12, 9)
    """

    def __init__(
        self, kernel_size: IntOrPair, dilation: IntOrPair = 1, padding: Any = 0, stride: IntOrPair = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = pair("kernel_size", kernel_size, 1), pair("dilation", dilation, 1)
        self.padding, self.stride = several_paddings(padding, 2), pair("stride", stride, 1)

    def forward(self, input: Tensor) -> Tensor:
        return unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
                f"stride={self.stride}")


class Fold(Unfold):
    """Columns summed into images: (N, C * kh * kw, L) -> (N, C, H, W). See :func:`fastconv.ops.fold`.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Fold(4, 2).eval()(np.zeros((1, 12, 9))).shape
    (1, 3, 4, 4)
    """

    def __init__(
        self, output_size: IntOrPair, kernel_size: IntOrPair, dilation: IntOrPair = 1, padding: Any = 0,
        stride: IntOrPair = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = pair("output_size", output_size, 1)

    def forward(self, input: Tensor) -> Tensor:
        return fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"
