# SPDX-License-Identifier: BSD-3-Clause
"""Fully connected layers, and the layers that only reshape."""

from __future__ import annotations

from typing import Any, Unpack

from fastconv.autograd import Deferred, Function, Tensor, as_tensor
from fastconv.nn._common import Array, count
from fastconv.nn.module import Module
from fastconv.nn.parameter import Parameter
from fastconv.nn.weighted import Weighted, WeightOptions
from fastconv.ops.linear import Prepared, layer_backward, layer_forward


class MatrixProduct(Function):
    """ops.linear with ops.linear_backward. The weights are packed once per version of `parameters`, if given."""

    def __init__(self, parameters: tuple[Parameter, Parameter | None] | None = None) -> None:
        self.parameters = parameters

    def forward(self, x: Array, weight: Array, bias: Array | None) -> Array | Deferred:
        self.save(x, weight)
        prepared = layer_forward(x, weight, bias, self.parameters)
        if self.parameters is None:
            return prepared.run()
        return Deferred(
            prepared.shape, prepared.dtype, prepared.run, lambda: MatrixProductReLU(self.parameters, prepared),
            native=False, fragile=True,
        )

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        x, weight = self.saved[:2]
        return layer_backward(grad, x, weight, (self.needs[0], self.needs[1], self.needs[2]), self.parameters)


class MatrixProductReLU(MatrixProduct):
    """max(0, a product that has been prepared), NaN where it is NaN."""

    rectifies = True

    def __init__(self, parameters: tuple[Parameter, Parameter | None] | None, prepared: Prepared) -> None:
        super().__init__(parameters)
        self.prepared: Prepared | None = prepared

    def forward(self, x: Array, weight: Array, bias: Array | None) -> Array:
        assert self.prepared is not None
        y = self.prepared.run(relu=True)
        self.prepared = None
        self.save(x, weight, y)
        return y

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        masked: Any = self.rectified(grad, self.saved[2])
        return super().backward(masked)


def linear(input: Tensor | Array, weight: Tensor | Array, bias: Tensor | Array | None = None) -> Tensor:
    """y = x weight^T + bias on the last axis: (..., in) -> (..., out), weight (out, in).

    A row of y has the same bits whatever the other rows are and however many threads run.

    >>> import numpy as np
    >>> linear(np.ones((2, 3)), np.ones((1, 3))).tolist()
    [[3.0], [3.0]]
    """
    parameters = None
    if isinstance(weight, Parameter) and (bias is None or isinstance(bias, Parameter)):
        parameters = weight, bias
    return MatrixProduct(parameters)(as_tensor(input), weight, bias)


class Linear(Weighted):
    """y = x weight^T + bias on the last axis: (..., in_features) -> (..., out_features).

    weight: (out_features, in_features); bias: (out_features,). Both start uniform within 1/sqrt(in_features).

    options: Keras's kernel_initializer, bias_constraint and so on; see :mod:`fastconv.nn.weighted`.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Linear(3, 2)(np.zeros((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, dtype: Any = None,
        **options: Unpack[WeightOptions],
    ) -> None:
        super().__init__()
        self.in_features = count("in_features", in_features)
        self.out_features = count("out_features", out_features)
        self.make_parameters((self.out_features, self.in_features), (self.out_features,), bias, dtype)
        self.take_options(options)

    def forward(self, input: Tensor) -> Tensor:
        return self.watched(linear(input, self.weight, self.bias), 2)

    def extra_repr(self) -> str:
        bias = self.bias is not None
        shape = f"in_features={self.in_features}, out_features={self.out_features}, bias={bias}"
        return ", ".join([shape, *self.options_repr()])


class Flatten(Module):
    """Join the axes from start_dim to end_dim into one; by default all but the batch.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Flatten().eval()(np.zeros((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Identity(Module):
    """The input itself, whatever the arguments of the constructor: a placeholder.

    >>> from fastconv import nn
    >>> nn.Identity(54, unused=True)
    Identity()
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input
