# SPDX-License-Identifier: BSD-3-Clause
"""Layer, group, instance and local response normalisation; the maths is in fastconv/ops/group_norm.py, response.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv import ops
from fastconv.autograd import Function, Tensor, as_tensor
from fastconv.errors import ShapeError
from fastconv.nn._common import Array, count, float_type, number
from fastconv.nn.init import ones_, zeros_
from fastconv.nn.module import Module
from fastconv.nn.norm import BatchNormalization, Norm
from fastconv.nn.parameter import Parameter
from fastconv.ops._check import flag
from fastconv.ops.norm import move


class _OwnStatistics(Function):
    """ops.NAME_norm with ops.NAME_norm_backward; leaves its statistics in ``mean`` and ``var``."""

    name = ""

    def __init__(self, sets: int | Sequence[int], eps: float) -> None:
        self.sets, self.eps = sets, eps

    def forward(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        self.save(x, weight)
        y: Array
        y, self.mean, self.var = getattr(ops, self.name)(
            x, self.sets, weight, bias, self.eps, return_statistics=True
        )
        return y

    def backward(self, grad: Array) -> tuple[Array | None, ...]:
        x, weight = self.saved
        gradients: tuple[Array | None, ...] = getattr(ops, self.name + "_backward")(
            grad, x, self.sets, self.mean, self.var, weight, self.eps, self.needs
        )
        return gradients


class LayerNormalization(_OwnStatistics):
    """ops.layer_norm with ops.layer_norm_backward."""

    name = "layer_norm"


class GroupNormalization(_OwnStatistics):
    """ops.group_norm with ops.group_norm_backward."""

    name = "group_norm"


class ResponseNormalization(Function):
    """ops.local_response_norm with ops.local_response_norm_backward."""

    def __init__(self, *options: Any) -> None:
        self.options = options

    def forward(self, x: Array) -> Array:
        self.save(x)
        return ops.local_response_norm(x, *self.options)

    def backward(self, grad: Array) -> Array:
        return ops.local_response_norm_backward(grad, *self.saved, *self.options)


# ---- Functions -------------------------------------------------------------------------------------------


def layer_norm(
    input: Tensor | Array, normalized_shape: int | Sequence[int], weight: Tensor | Array | None = None,
    bias: Tensor | Array | None = None, eps: float = 1e-5,
) -> Tensor:
    """:func:`fastconv.ops.layer_norm` on tensors.

    >>> layer_norm(np.array([[1.0, 3.0]]), [2], eps=0).tolist()
    [[-1.0, 1.0]]
    """
    return LayerNormalization(normalized_shape, eps)(as_tensor(input), weight, bias)


def group_norm(
    input: Tensor | Array, num_groups: int, weight: Tensor | Array | None = None, bias: Tensor | Array | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """:func:`fastconv.ops.group_norm` on tensors.

    >>> group_norm(np.array([[1.0, 3.0]]), 1, eps=0).tolist()
    [[-1.0, 1.0]]
    """
    return GroupNormalization(num_groups, eps)(as_tensor(input), weight, bias)


def _instance_norm(
    x: Tensor, weight: Tensor | Array | None, bias: Tensor | Array | None, eps: float
) -> tuple[Tensor, Array, Array]:
    """y, and what running statistics move towards."""
    values = int(np.prod(x.shape[2:]))
    if x.ndim < 3 or values == 1:
        raise ShapeError(f"input must be (N, C, ...) with more than one value per channel, got shape {x.shape}")
    run = GroupNormalization(x.shape[1], eps)
    y = run(x, weight, bias)
    means = (v.reshape(-1, x.shape[1]) for v in (run.mean, run.var))
    mean, var = (v.sum(0) / max(len(v), 1) for v in means)
    return y, mean, var * (values / (values - 1))


def instance_norm(
    input: Tensor | Array, running_mean: Tensor | Array | None = None, running_var: Tensor | Array | None = None,
    weight: Tensor | Array | None = None, bias: Tensor | Array | None = None, use_input_stats: bool = True,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:
    """:func:`fastconv.ops.instance_norm` on tensors. With use_input_stats running statistics that are given
    change in place.

    >>> instance_norm(np.array([[[1.0, 3.0]]]), eps=0).tolist()
    [[[-1.0, 1.0]]]
    """
    x = as_tensor(input)
    running = [None if v is None else as_tensor(v).numpy() for v in (running_mean, running_var)]
    if not flag("use_input_stats", use_input_stats):
        if running[0] is None or running[1] is None:
            raise ValueError("running_mean and running_var must be given where use_input_stats is False")
        mean, var = (v.astype(np.float64) for v in running if v is not None)
        return BatchNormalization(mean, var, eps)(x, weight, bias)
    momentum = number("momentum", momentum, 0, 1)
    for name, array in zip(("running_mean", "running_var"), running, strict=True):
        if array is not None and not array.flags.writeable:
            raise ValueError(f"{name} is read-only, but use_input_stats changes it; pass a writable array or None")
    y, mean, var = _instance_norm(x, weight, bias, eps)
    move(running[0], momentum, mean)
    move(running[1], momentum, var)
    return y


def local_response_norm(
    input: Tensor | Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """:func:`fastconv.ops.local_response_norm` on tensors.

    >>> local_response_norm(np.ones((1, 1, 1)), 1, alpha=1.0, beta=1.0).tolist()
    [[[0.5]]]
    """
    return ResponseNormalization(size, alpha, beta, k)(as_tensor(input))


# ---- Layers ----------------------------------------------------------------------------------------------


class _Affine(Module):
    """Weight and bias, if wanted, at first 1 and 0."""

    weight: Parameter | None
    bias: Parameter | None

    def _make(self, shape: tuple[int, ...], affine: bool, bias: bool, dtype: Any) -> None:
        ones = np.ones(shape, float_type(dtype))
        with_bias = flag("bias", bias) and affine
        self.register_parameter("weight", Parameter(ones) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros_like(ones)) if with_bias else None)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0 again."""
        if self.weight is not None:
            ones_(self.weight)
        if self.bias is not None:
            zeros_(self.bias)


class LayerNorm(_Affine):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var over the last axes, of extents normalized_shape.

    weight, bias: of that shape.

    >>> from fastconv import nn
    >>> nn.LayerNorm(3)
    LayerNorm((3,), eps=1e-05, elementwise_affine=True, bias=True)
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5, elementwise_affine: bool = True,
        bias: bool = True, *, dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        self.normalized_shape = tuple(count("normalized_shape", n) for n in sizes)
        self.eps = number("eps", eps)
        self.elementwise_affine = flag("elementwise_affine", elementwise_affine)
        self._make(self.normalized_shape, self.elementwise_affine, bias, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        affine, bias = self.elementwise_affine, self.bias is not None
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={affine}, bias={bias}"


class GroupNorm(_Affine):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var over each of num_groups groups of channels.

    x: (N, num_channels, ...). weight, bias: (num_channels,).

    >>> from fastconv import nn
    >>> nn.GroupNorm(2, 4)
    GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, bias: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_groups, self.num_channels = count("num_groups", num_groups), count("num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(f"num_groups={self.num_groups} does not divide num_channels={self.num_channels}")
        self.eps, self.affine = number("eps", eps), flag("affine", affine)
        self._make((self.num_channels,), self.affine, bias, dtype)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim < 2 or input.shape[1] != self.num_channels:
            raise ShapeError(f"input must be (N, {self.num_channels}, ...), got shape {input.shape}")
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
                f"bias={self.bias is not None}")


class _InstanceNorm(Norm):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = False,
        track_running_stats: bool = False, *, bias: bool = True, dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, dtype)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim == self.axes[0] - 1:
            return self.forward(input.reshape(1, *input.shape)).reshape(input.shape)
        self._check(input)
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None and var is not None:
            given = [v.numpy().astype(np.float64) for v in (mean, var)]
            return BatchNormalization(given[0], given[1], self.eps)(input, self.weight, self.bias)
        y, new_mean, new_var = _instance_norm(input, self.weight, self.bias, self.eps)
        if mean is not None and len(input):
            self._update(0.0 if self.momentum is None else self.momentum, new_mean, new_var)
        return y


class InstanceNorm1d(_InstanceNorm):
    """InstanceNorm2d of (N, num_features, L) or (num_features, L).

    >>> from fastconv import nn
    >>> nn.InstanceNorm1d(3)
    InstanceNorm1d(3, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)
    """

    axes, layout = (3,), "(N, C, L) or (C, L)"


class InstanceNorm2d(_InstanceNorm):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, each channel of each (num_features, H, W) by itself.

    x: (N, num_features, H, W) or (num_features, H, W). weight, bias: only with ``affine``. With ``track_running_stats``
    running_mean and running_var move towards the batch's in training, and are used in evaluation.

    >>> from fastconv import nn
    >>> nn.InstanceNorm2d(3)
    InstanceNorm2d(3, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)
    """

    axes, layout = (4,), "(N, C, H, W) or (C, H, W)"


class InstanceNorm3d(_InstanceNorm):
    """InstanceNorm2d of (N, num_features, D, H, W) or (num_features, D, H, W).

    >>> from fastconv import nn
    >>> nn.InstanceNorm3d(3)
    InstanceNorm3d(3, eps=1e-05, momentum=0.1, affine=False, bias=False, track_running_stats=False)
    """

    axes, layout = (5,), "(N, C, D, H, W) or (C, D, H, W)"


class LocalResponseNorm(Module):
    """x / (k + alpha * mean of x^2 over size neighbouring channels)^beta, for (N, C, ...) with spatial axes.

    >>> from fastconv import nn
    >>> nn.LocalResponseNorm(5)
    LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=1.0)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = count("size", size)
        self.alpha, self.beta, self.k = number("alpha", alpha), number("beta", beta), number("k", k)

    def forward(self, input: Tensor) -> Tensor:
        return local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
