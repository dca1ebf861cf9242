# SPDX-License-Identifier: BSD-3-Clause
"""RMSprop."""

from __future__ import annotations

from typing import Any

from fastconv import _core
from fastconv.nn._common import number
from fastconv.ops._check import flag
from fastconv.optim.base import Array, Optimizer, Params, Step


class RMSprop(Optimizer):
    """Steps scaled by a running mean of the squared gradient (Hinton, 2012).

        g += weight_decay * p
        v = alpha * v + (1 - alpha) * g^2
        a = alpha * a + (1 - alpha) * g                             (centered)
        s = g / (sqrt(v, or with centered v - a^2) + eps)
        b = momentum * b + s                                        (momentum > 0)
        p -= lr * (s, or with momentum b)

    maximize: go up instead of down. Where rounding makes v - a^2 negative it counts as 0.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> p = nn.Parameter(np.array([1.0]))
    >>> p.grad = np.array([123.0])
    >>> RMSprop([p], lr=0.01).step()  # the first step: lr / sqrt(1 - alpha), whatever the gradient
    >>> round(p.item(), 6)
    0.9
    """

    def __init__(
        self, params: Params, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0,
        momentum: float = 0.0, centered: bool = False, *, maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "maximize": maximize,
        })

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        number("momentum", group["momentum"])
        number("eps", group["eps"])
        flag("centered", group["centered"])
        if number("alpha", group["alpha"], 0, 1) == 1:
            raise ValueError("alpha must be less than 1, got 1: nothing would ever be learnt of the gradient's size")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        extra = (("momentum_buffer", group["momentum"] > 0), ("grad_avg", group["centered"]))
        return ("square_avg", *(name for name, wanted in extra if wanted))

    def _update(self, p: Array, g: Array, state: list[Array], step: Step) -> None:
        group, arrays = step.group, dict(zip(self._state_names(step.group), state, strict=True))
        _core.rmsprop(
            p, g, arrays["square_avg"], arrays.get("momentum_buffer"), arrays.get("grad_avg"), group["lr"],
            group["weight_decay"], group["alpha"], group["momentum"], group["eps"], group["maximize"],
        )
