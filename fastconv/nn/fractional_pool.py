# SPDX-License-Identifier: BSD-3-Clause
"""Fractional max pooling on the tape: the functions and the layers."""

from __future__ import annotations

from typing import Any, ClassVar

from fastconv import ops
from fastconv.autograd import Tensor, as_tensor
from fastconv.nn._common import Array
from fastconv.nn.adaptive_pool import PoolingByIndices
from fastconv.nn.module import Module
from fastconv.nn.pool import Sizes, with_indices
from fastconv.nn.pool_layers import as_given
from fastconv.ops._check import flag, shown
from fastconv.ops.fractional_pool import Ratio, check_ratios
from fastconv.random import generator


def _fractional(
    axes: int, input: Tensor | Array, kernel_size: Sizes, output_size: Sizes | None, output_ratio: Ratio,
    return_indices: bool, samples: Tensor | Array | None,
) -> Any:
    x = as_tensor(input)
    pool: Any = ops.fractional_max_pool2d if axes == 2 else ops.fractional_max_pool3d

    def maxima(images: Array, indices: bool, layout: str) -> Any:
        if samples is None:
            u: Any = generator().random((*images.shape[:2], axes), images.dtype.type)
        else:
            u = as_tensor(samples).numpy()
        return pool(images, kernel_size, u, output_size, output_ratio, indices)

    run = PoolingByIndices(axes, maxima, flag("return_indices", return_indices), native=False)
    return with_indices(x, run, axes, return_indices)


def fractional_max_pool2d(
    input: Tensor | Array, kernel_size: Sizes, output_size: Sizes | None = None, output_ratio: Ratio = None,
    return_indices: bool = False, _random_samples: Tensor | Array | None = None,
) -> Any:
    """:func:`fastconv.ops.fractional_max_pool2d` on tensors; with ``return_indices`` a pair of tensors.

    _random_samples: its random numbers, (N, C, 2); None draws them from the generator of fastconv.manual_seed.

    >>> import numpy as np
    >>> fractional_max_pool2d(np.arange(4.0).reshape(1, 1, 2, 2), 2, output_size=1).tolist()
    [[[[3.0]]]]
    """
    return _fractional(2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool3d(
    input: Tensor | Array, kernel_size: Sizes, output_size: Sizes | None = None, output_ratio: Ratio = None,
    return_indices: bool = False, _random_samples: Tensor | Array | None = None,
) -> Any:
    """:func:`fastconv.ops.fractional_max_pool3d` on tensors; with ``return_indices`` a pair of tensors.

    _random_samples: its random numbers, (N, C, 3); None draws them from the generator of fastconv.manual_seed.

    >>> import numpy as np
    >>> fractional_max_pool3d(np.arange(4.0).reshape(1, 1, 1, 2, 2), (1, 2, 2), output_size=1).tolist()
    [[[[[3.0]]]]]
    """
    return _fractional(3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


class _FractionalMax(Module):
    axes: ClassVar[int]

    def __init__(
        self, kernel_size: Sizes, output_size: Sizes | None = None, output_ratio: Ratio = None,
        return_indices: bool = False, _random_samples: Tensor | Array | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = as_given("kernel_size", kernel_size, 1, self.axes)
        self.return_indices = flag("return_indices", return_indices)
        if (output_size is None) == (output_ratio is None):
            given = f"output_size={shown(output_size)}, output_ratio={shown(output_ratio)}"
            raise ValueError(f"give one of output_size and output_ratio, got {given}")
        self.output_size = None if output_size is None else as_given("output_size", output_size, 1, self.axes)
        self.output_ratio = None if output_ratio is None else check_ratios(output_ratio, self.axes)
        self._random_samples = _random_samples

    def forward(self, input: Tensor) -> Any:
        return _fractional(
            self.axes, input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
            self._random_samples,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, output_size={self.output_size}, output_ratio={self.output_ratio}"


class FractionalMaxPool2d(_FractionalMax):
    """Max pooling with windows at random distances: (N, C, H, W) -> (N, C, H', W').

    One of output_size and output_ratio must be given; see
    :func:`fastconv.ops.fractional_max_pool2d`. The random numbers are those of
    :func:`fastconv.manual_seed`, in evaluation as well as in training.

    >>> from fastconv import nn
    >>> nn.FractionalMaxPool2d(2, output_ratio=0.5)
    FractionalMaxPool2d(kernel_size=2, output_size=None, output_ratio=(0.5, 0.5))
    """

    axes = 2


class FractionalMaxPool3d(_FractionalMax):
    """Max pooling with windows at random distances: (N, C, D, H, W) -> (N, C, D', H', W').

    One of output_size and output_ratio must be given; see
    :func:`fastconv.ops.fractional_max_pool3d`. The random numbers are those of
    :func:`fastconv.manual_seed`, in evaluation as well as in training.

    >>> from fastconv import nn
    >>> nn.FractionalMaxPool3d(2, output_ratio=0.5)
    FractionalMaxPool3d(kernel_size=2, output_size=None, output_ratio=(0.5, 0.5, 0.5))
    """

    axes = 3
