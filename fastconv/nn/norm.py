# SPDX-License-Identifier: BSD-3-Clause
"""Batch normalisation; the maths is in fastconv/ops/norm.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import ops
from fastconv._core import Blocked
from fastconv.autograd import Deferred, Function, Tensor, Value, recorded
from fastconv.errors import ShapeError
from fastconv.nn._common import Array, count, float_type, number
from fastconv.nn.init import ones_, zeros_
from fastconv.nn.module import Module
from fastconv.nn.parameter import Parameter
from fastconv.ops._check import flag, same_dtype
from fastconv.ops._fold import Normalization


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


class BatchNorm2d(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, per channel of (N, num_features, H, W).

    In training mean and var are the batch's, and running_mean and running_var move towards them by
    ``momentum`` (None: they become the average over all batches); the running variance is the unbiased one.
    In evaluation the running ones are used, or the batch's with ``track_running_stats=False``.

    >>> from fastconv import nn
    >>> nn.BatchNorm2d(3)
    BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    # Files from before PyTorch 0.4.1 lack it; it matters only for momentum=None.
    _optional_buffers = ("num_batches_tracked",)

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, *, bias: bool = True, dtype: Any = None,
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

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 4 or input.shape[1] != self.num_features:
            raise ShapeError(f"input must be (N, {self.num_features}, H, W), got shape {input.shape}")
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None and var is not None:
            return self._apply(input, mean.numpy().astype(np.float64), var.numpy().astype(np.float64))
        if self.training and input.numel() <= self.num_features:
            raise ShapeError(f"training needs more than one value per channel, got shape {input.shape}")
        y, run = self._normalize(input, None, None)
        if self.training and mean is not None and var is not None:
            self._update(mean, var, run, input.numel() // self.num_features)
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

    def _update(self, mean: Tensor, var: Tensor, run: BatchNormalization, n: int) -> None:
        """Move the running statistics; a new array each, so that a kept one does not change."""
        seen = 1 if self.num_batches_tracked is None else self.num_batches_tracked.item() + 1
        self.num_batches_tracked = Tensor(np.array(seen))
        step = 1 / seen if self.momentum is None else self.momentum
        unbiased = run.var * (n / (n - 1))
        for name, old, new in (("running_mean", mean, run.mean), ("running_var", var, unbiased)):
            mixed = (1 - step) * old.numpy().astype(np.float64) + step * new
            setattr(self, name, Tensor(mixed.astype(old.dtype)))

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )
