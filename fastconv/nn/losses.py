# SPDX-License-Identifier: BSD-3-Clause
"""Losses made of one operation of fastconv.ops; cross entropy is in loss.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv import ops
from fastconv.autograd import Function, Tensor, as_tensor
from fastconv.nn._common import Array, number
from fastconv.nn.loss import REDUCTIONS
from fastconv.nn.module import Module
from fastconv.ops._check import flag, integer, word

Input = Tensor | Array


class Loss(Function):
    """A loss of fastconv.ops and its backward. ``distance``: the target's gradient is the negative of the input's."""

    def __init__(
        self, run: Callable[..., Array], gradient: Callable[..., Array], distance: bool = False, **options: Any
    ) -> None:
        self.run, self.gradient, self.distance = run, gradient, distance
        self.options = {name: v.numpy() if isinstance(v, Tensor) else v for name, v in options.items()}

    def forward(self, x: Array, target: Array) -> Array:
        if self.needs[1] and not self.distance:
            raise ValueError("target must not require a gradient: this loss has none for it; pass target.detach()")
        self.save(x, target)
        return self.run(x, target, **self.options)

    def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
        x, target = self.saved
        dx = self.gradient(grad, x, target, **self.options)
        return dx, -dx if self.needs[1] else None


def mse_loss(input: Input, target: Input, reduction: str = "mean") -> Tensor:
    """(input - target)^2, its mean or its sum; of one shape.

    >>> mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0])).item()
    2.0
    """
    run = Loss(ops.mse_loss, ops.mse_loss_backward, True, reduction=reduction)
    return run(as_tensor(input), as_tensor(target, "target"))


def l1_loss(input: Input, target: Input, reduction: str = "mean") -> Tensor:
    """|input - target|, its mean or its sum; of one shape.

    >>> l1_loss(np.array([1.0, 2.0]), np.array([1.0, 5.0])).item()
    1.5
    """
    run = Loss(ops.l1_loss, ops.l1_loss_backward, True, reduction=reduction)
    return run(as_tensor(input), as_tensor(target, "target"))


def smooth_l1_loss(input: Input, target: Input, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """See :class:`SmoothL1Loss`.

    >>> smooth_l1_loss(np.array([0.0, 3.0]), np.array([1.0, 0.0]), "none").tolist()
    [0.5, 2.5]
    """
    run = Loss(ops.smooth_l1_loss, ops.smooth_l1_loss_backward, True, reduction=reduction, beta=beta)
    return run(as_tensor(input), as_tensor(target, "target"))


def huber_loss(input: Input, target: Input, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """See :class:`HuberLoss`.

    >>> huber_loss(np.array([1.0, 3.0]), np.array([0.0, 0.0]), "none", 2.0).tolist()
    [0.5, 4.0]
    """
    run = Loss(ops.huber_loss, ops.huber_loss_backward, True, reduction=reduction, delta=delta)
    return run(as_tensor(input), as_tensor(target, "target"))


def binary_cross_entropy(
    input: Input, target: Input, weight: Input | None = None, reduction: str = "mean"
) -> Tensor:
    """See :class:`BCELoss`.

    >>> round(binary_cross_entropy(np.array([0.5]), np.array([1.0])).item(), 6)
    0.693147
    """
    run = Loss(ops.binary_cross_entropy, ops.binary_cross_entropy_backward, weight=weight, reduction=reduction)
    return run(as_tensor(input), as_tensor(target, "target"))


def binary_cross_entropy_with_logits(
    input: Input, target: Input, weight: Input | None = None, reduction: str = "mean",
    pos_weight: Input | None = None,
) -> Tensor:
    """See :class:`BCEWithLogitsLoss`.

    >>> round(binary_cross_entropy_with_logits(np.array([0.0]), np.array([1.0])).item(), 6)
    0.693147
    """
    run = Loss(ops.binary_cross_entropy_with_logits, ops.binary_cross_entropy_with_logits_backward, weight=weight,
               reduction=reduction, pos_weight=pos_weight)
    return run(as_tensor(input), as_tensor(target, "target"))


def kl_div(input: Input, target: Input, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """See :class:`KLDivLoss`.

    >>> round(kl_div(np.log([[0.5, 0.5]]), np.array([[1.0, 0.0]]), "batchmean").item(), 6)
    0.693147
    """
    run = Loss(ops.kl_div, ops.kl_div_backward, reduction=reduction, log_target=log_target)
    return run(as_tensor(input), as_tensor(target, "target"))


def hinge_loss(input: Input, target: Input, reduction: str = "mean") -> Tensor:
    """See :class:`HingeLoss`.

    >>> hinge_loss(np.array([2.0, 0.5, 0.5]), np.array([1, 1, -1]), "none").tolist()
    [0.0, 0.5, 1.5]
    """
    run = Loss(ops.hinge_loss, ops.hinge_loss_backward, reduction=reduction)
    return run(as_tensor(input), as_tensor(target, "target"))


def hinge_embedding_loss(input: Input, target: Input, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """See :class:`HingeEmbeddingLoss`.

    >>> hinge_embedding_loss(np.array([0.25, 0.25]), np.array([1, -1]), reduction="none").tolist()
    [0.25, 0.75]
    """
    run = Loss(ops.hinge_embedding_loss, ops.hinge_embedding_loss_backward, margin=margin, reduction=reduction)
    return run(as_tensor(input), as_tensor(target, "target"))


def nll_loss(
    input: Input, target: Input, weight: Input | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """See :class:`NLLLoss`.

    >>> round(nll_loss(np.log([[0.25, 0.75]]), np.array([1])).item(), 6)
    0.287682
    """
    run = Loss(ops.nll_loss, ops.nll_loss_backward, weight=weight, ignore_index=ignore_index, reduction=reduction)
    return run(as_tensor(input), as_tensor(target, "target"))


def multi_margin_loss(
    input: Input, target: Input, p: int = 1, margin: float = 1.0, weight: Input | None = None,
    reduction: str = "mean",
) -> Tensor:
    """See :class:`MultiMarginLoss`.

    >>> multi_margin_loss(np.array([[0.5, 0.25, 2.0, -1.0]]), np.array([2])).item()
    0.0
    """
    run = Loss(ops.multi_margin_loss, ops.multi_margin_loss_backward, p=p, margin=margin, weight=weight,
               reduction=reduction)
    return run(as_tensor(input), as_tensor(target, "target"))


# ---- Layers ----------------------------------------------------------------------------------------------


class _Reduced(Module):
    def __init__(self, reduction: str = "mean", words: tuple[str, ...] = REDUCTIONS) -> None:
        super().__init__()
        self.reduction = word("reduction", reduction, words)


class MSELoss(_Reduced):
    """The squared difference of input and target, of one shape; by default its mean over all elements.

    >>> from fastconv import nn
    >>> nn.MSELoss()(np.array([1.0, 2.0]), np.array([1.0, 4.0])).item()
    2.0
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return mse_loss(input, target, self.reduction)


class L1Loss(_Reduced):
    """|input - target| of one shape, by default its mean over all elements.

    >>> from fastconv import nn
    >>> nn.L1Loss()(np.array([1.0, 2.0]), np.array([1.0, 5.0])).item()
    1.5
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return l1_loss(input, target, self.reduction)


class SmoothL1Loss(_Reduced):
    """d^2 / (2 beta) where d = |input - target| is below beta, else d - beta / 2; of one shape.

    >>> from fastconv import nn
    >>> nn.SmoothL1Loss("none")(np.array([0.0, 3.0]), np.array([1.0, 0.0])).tolist()
    [0.5, 2.5]
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = number("beta", beta)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(_Reduced):
    """d^2 / 2 where d = |input - target| is at most delta, else delta (d - delta / 2); of one shape.

    >>> from fastconv import nn
    >>> nn.HuberLoss("none", delta=2.0)(np.array([1.0, 3.0]), np.array([0.0, 0.0])).tolist()
    [0.5, 4.0]
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = number("delta", delta)
        if self.delta == 0:
            raise ValueError("delta must be greater than 0, got 0")

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return huber_loss(input, target, self.reduction, self.delta)


class BCELoss(_Reduced):
    """-weight (t log(x) + (1 - t) log(1 - x)) of probabilities x and targets t between 0 and 1, of one shape.

    A logarithm counts as -100 at least. weight: of a shape that broadcasts to the input's.

    >>> from fastconv import nn
    >>> round(nn.BCELoss()(np.array([0.5]), np.array([1.0])).item(), 6)
    0.693147
    """

    weight: Tensor | None

    def __init__(self, weight: Input | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy(input, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_Reduced):
    """:class:`BCELoss` of the sigmoid of the input, which never overflows.

    weight, pos_weight: of shapes that broadcast to the input's; pos_weight is a factor for targets of 1.

    >>> from fastconv import nn
    >>> nn.BCEWithLogitsLoss()(np.array([1000.0]), np.array([0.0])).item()
    1000.0
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self, weight: Input | None = None, reduction: str = "mean", pos_weight: Input | None = None
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(input, target, self.weight, self.reduction, self.pos_weight)


class KLDivLoss(_Reduced):
    """t (log(t) - x), the divergence of probabilities t, the target, from those whose logarithms x are the input.

    log_target: the target holds logarithms too. reduction: also "batchmean", the sum over the extent of the first
    axis, which is the divergence as it is defined; "mean" divides by the number of classes as well.

    >>> from fastconv import nn
    >>> round(nn.KLDivLoss("batchmean")(np.log([[0.5, 0.5]]), np.array([[1.0, 0.0]])).item(), 6)
    0.693147
    """

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction, (*REDUCTIONS, "batchmean"))
        self.log_target = flag("log_target", log_target)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return kl_div(input, target, self.reduction, self.log_target)


class HingeLoss(_Reduced):
    """max(0, 1 - t x), the loss of a support-vector machine; targets t are 1 or -1, of the input's shape.

    >>> from fastconv import nn
    >>> nn.HingeLoss("sum")(np.array([2.0, 0.5, 0.5]), np.array([1, 1, -1])).item()
    2.0
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return hinge_loss(input, target, self.reduction)


class HingeEmbeddingLoss(_Reduced):
    """x where the target is 1, max(0, margin - x) where it is -1, for distances x; of one shape.

    >>> from fastconv import nn
    >>> nn.HingeEmbeddingLoss()(np.array([0.25, 0.25]), np.array([1, -1])).item()
    0.5
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = number("margin", margin, -np.inf)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return hinge_embedding_loss(input, target, self.margin, self.reduction)


class NLLLoss(_Reduced):
    """-weight[target] input[target], for logarithms of probabilities, as log_softmax gives them.

    input: (C,), (N, C) or (N, C, ...). target: integers of that shape without C. Targets equal to ``ignore_index``
    count nothing. The mean is weighted: the sum over that of weight[target].

    >>> from fastconv import nn
    >>> round(nn.NLLLoss()(np.log([[0.25, 0.75]]), np.array([1])).item(), 6)
    0.287682
    """

    weight: Tensor | None

    def __init__(
        self, weight: Input | None = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = integer("ignore_index", ignore_index, -(2**63), 2**63 - 1)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class MultiMarginLoss(_Reduced):
    """Sum over c != t of weight[t] max(0, margin - x[t] + x[c])^p / C: a support-vector machine of C classes.

    input: scores x, (C,) or (N, C). target: the classes t, integers, () or (N,). p: 1 or 2.

    >>> from fastconv import nn
    >>> nn.MultiMarginLoss()(np.array([[0.5, 0.25, 2.0, -1.0]]), np.array([0])).item()
    0.8125
    """

    weight: Tensor | None

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Input | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.p = integer("p", p, 1, 2)
        self.margin = number("margin", margin, -np.inf)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return multi_margin_loss(input, target, self.p, self.margin, self.weight, self.reduction)
