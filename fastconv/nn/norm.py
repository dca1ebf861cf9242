# SPDX-License-Identifier: BSD-3-Clause
"""Batch normalisation; the maths is in fastconv/ops/norm.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import ops
from fastconv._core import Blocked
from fastconv.autograd import Deferred, Function, Tensor, Value, as_tensor, recorded
from fastconv.errors import ShapeError
from fastconv.nn._common import Array, count, float_type, number
from fastconv.nn.init import ones_, zeros_
from fastconv.nn.module import Module
from fastconv.nn.parameter import Parameter
from fastconv.ops._check import flag, same_dtype
from fastconv.ops._fold import Normalization
from fastconv.ops.norm import move


class BatchNormalization(Function):
    """Normalise by float64 statistics: those given, or the batch's, left in ``mean`` and ``var``.

    from_batch: whether the statistics depend on x, as those that are computed here do.
    """

    native = True

    def __init__(
        self, mean: Array | None, var: Array | None, eps: float, relu: bool = False, from_batch: bool = False
    ) -> None:
        self.from_batch = from_batch or mean is None or var is None
        self.mean: Any = mean
        self.var: Any = var
        self.eps, self.relu = eps, relu

    def forward(self, x: Value, weight: Array | None, bias: Array | None) -> Value | Deferred:
        same_dtype(input=x, weight=weight, bias=bias)
        self.save(x, weight, *([bias] if self.relu else []))
        if isinstance(x, Blocked) and not self.relu:
            if self.mean is None or self.var is None:
                self.mean, self.var = ops.batch_statistics(x)
            copies = [None if v is None else v.copy() for v in (weight, bias)]
            return Deferred(x.shape, x.dtype, lambda: self._apply(x, *copies), self._with_relu)
        if self.mean is None or self.var is None:
            y: Value
            y, self.mean, self.var = ops.batch_norm(
                x, None, None, weight, bias, True, eps=self.eps, relu=self.relu, return_statistics=True
            )
            return y
        applied: Value = self._apply(x, weight, bias)
        return applied

    def _apply(self, x: Value, weight: Array | None, bias: Array | None) -> Any:
        return ops.batch_norm(x, self.mean, self.var, weight, bias, eps=self.eps, relu=self.relu)

    def _with_relu(self) -> BatchNormalization:
        return BatchNormalization(self.mean, self.var, self.eps, True, self.from_batch)

    def backward(self, grad: Value) -> tuple[Value | None, ...]:
        x, weight = self.saved[:2]
        bias = self.saved[2] if self.relu else None
        return ops.batch_norm_backward(
            grad, x, self.mean, self.var, weight, bias, self.from_batch, self.eps,
            (self.needs[0], self.needs[1], self.needs[2]), relu=self.relu,
        )


class Norm(Module):
    """What normalisations per channel share: parameters, running statistics, and the axes that they take."""

    axes: tuple[int, ...] = ()
    layout = ""

    # Files from before PyTorch 0.4.1 lack it; it matters only for momentum=None.
    _optional_buffers = ("num_batches_tracked",)

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool,
        bias: bool, dtype: Any,
    ) -> None:
        super().__init__()
        self.num_features = count("num_features", num_features)
        self.eps = number("eps", eps)
        self.momentum = None if momentum is None else number("momentum", momentum, 0, 1)
        self.affine = flag("affine", affine)
        with_bias = flag("bias", bias) and affine
        self.track_running_stats = flag("track_running_stats", track_running_stats)
        ones = np.ones(self.num_features, float_type(dtype))
        zeros = np.zeros_like(ones)
        self.register_parameter("weight", Parameter(ones) if affine else None)
        self.register_parameter("bias", Parameter(zeros) if with_bias else None)
        self.register_buffer("running_mean", zeros.copy() if track_running_stats else None)
        self.register_buffer("running_var", ones.copy() if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.array(0) if track_running_stats else None)

    def reset_running_stats(self) -> None:
        """Forget the batches seen: mean 0, variance 1."""
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean = Tensor(np.zeros_like(self.running_mean.numpy()))
            self.running_var = Tensor(np.ones_like(self.running_var.numpy()))
            self.num_batches_tracked = Tensor(np.array(0))

    def reset_parameters(self) -> None:
        """Forget everything: also weight 1, bias 0."""
        self.reset_running_stats()
        if self.weight is not None:
            ones_(self.weight)
        if self.bias is not None:
            zeros_(self.bias)

    def _check(self, input: Tensor) -> None:
        if input.ndim not in self.axes or input.shape[min(1, input.ndim - 1)] != self.num_features:
            expected = self.layout.replace("C", str(self.num_features))
            raise ShapeError(f"input must be {expected}, got shape {input.shape}")

    def _update(self, step: float, new_mean: Array, new_var: Array) -> None:
        """Move the running statistics; a new array each, so that a kept one does not change."""
        assert self.running_mean is not None and self.running_var is not None
        both = ("running_mean", self.running_mean, new_mean), ("running_var", self.running_var, new_var)
        for name, old, new in both:
            mixed = (1 - step) * old.numpy().astype(np.float64) + step * new
            setattr(self, name, Tensor(mixed.astype(old.dtype)))

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(Norm):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, *, bias: bool = True, dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, dtype)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None and var is not None:
            return self._apply(input, mean.numpy().astype(np.float64), var.numpy().astype(np.float64))
        if self.training and input.numel() <= self.num_features:
            raise ShapeError(f"training needs more than one value per channel, got shape {input.shape}")
        y, run = self._normalize(input, None, None)
        if self.training and mean is not None and var is not None:
            self._see(run, input.numel() // self.num_features)
        return y

    def _apply(self, input: Tensor, mean: Array, var: Array) -> Tensor:
        """Normalise by given statistics: in the weights of the convolution that is to come, if it can be."""
        waiting = input._value
        weight, bias = self.weight, self.bias
        if isinstance(waiting, Deferred) and waiting.with_norm is not None and not recorded(input, weight, bias):
            numbers = [None if p is None else p.numpy() for p in (weight, bias)]
            both = waiting.with_norm(Normalization(mean, var, numbers[0], numbers[1], self.eps))
            if both is not None:
                return both(*waiting.inputs)
        return self._normalize(input, mean, var)[0]

    def _normalize(
        self, input: Tensor, mean: Array | None, var: Array | None
    ) -> tuple[Tensor, BatchNormalization]:
        run = BatchNormalization(mean, var, self.eps)
        return run(input, self.weight, self.bias), run

    def _see(self, run: BatchNormalization, n: int) -> None:
        """Count a batch of n values per channel, and move the running statistics."""
        seen = 1 if self.num_batches_tracked is None else self.num_batches_tracked.item() + 1
        self.num_batches_tracked = Tensor(np.array(seen))
        self._update(1 / seen if self.momentum is None else self.momentum, run.mean, run.var * (n / (n - 1)))


def batch_norm(
    input: Tensor | Array, running_mean: Tensor | Array | None, running_var: Tensor | Array | None,
    weight: Tensor | Array | None = None, bias: Tensor | Array | None = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:
    """:func:`fastconv.ops.batch_norm` on tensors. In training running_mean and running_var, if given, change in place.

    >>> x = np.array([[1.0], [3.0]])
    >>> batch_norm(x, None, None, training=True, eps=0).tolist()
    [[-1.0], [1.0]]
    """
    x = as_tensor(input)
    running = [None if v is None else as_tensor(v).numpy() for v in (running_mean, running_var)]
    if not flag("training", training):
        if running[0] is None or running[1] is None:
            raise ValueError("running_mean and running_var must be given where training is False")
        given = [v.astype(np.float64) for v in running if v is not None]
        return BatchNormalization(given[0], given[1], eps)(x, weight, bias)
    for name, array in (("running_mean", running[0]), ("running_var", running[1])):
        if array is not None and not array.flags.writeable:
            raise ValueError(f"{name} is read-only, but training changes it; pass a writable array or None")
    run = BatchNormalization(None, None, eps)
    y = run(x, weight, bias)
    n = x.numel() // x.shape[1]
    for array, new in ((running[0], run.mean), (running[1], run.var * (n / max(n - 1, 1)))):
        move(array, number("momentum", momentum, 0, 1), new)
    return y


class BatchNorm1d(_BatchNorm):
    """BatchNorm2d of (N, num_features) or (N, num_features, L).

    >>> from fastconv import nn
    >>> nn.BatchNorm1d(3)
    BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    axes, layout = (2, 3), "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, per channel of (N, num_features, H, W).

    In training mean and var are the batch's, and running_mean and running_var move towards them by
    ``momentum`` (None: they become the average over all batches); the running variance is the unbiased one.
    In evaluation the running ones are used, or the batch's with ``track_running_stats=False``.

    >>> from fastconv import nn
    >>> nn.BatchNorm2d(3)
    BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    axes, layout = (4,), "(N, C, H, W)"


class BatchNorm3d(_BatchNorm):
    """BatchNorm2d of (N, num_features, D, H, W).

    >>> from fastconv import nn
    >>> nn.BatchNorm3d(3)
    BatchNorm3d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    axes, layout = (5,), "(N, C, D, H, W)"
