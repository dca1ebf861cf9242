# SPDX-License-Identifier: BSD-3-Clause
"""Gradient descent."""

from __future__ import annotations

import math
from typing import Any

from fastconv import _core
from fastconv.nn._common import number
from fastconv.ops._check import flag
from fastconv.optim.base import Array, Optimizer, Params, Step


class SGD(Optimizer):
    """Gradient descent, with momentum.

        g += weight_decay * p
        v = g at the first step, else momentum * v + (1 - dampening) * g      (momentum > 0)
        p -= lr * (g, or v, or with nesterov g + momentum * v)

    maximize: go up instead of down.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> p = nn.Parameter(np.array([1.0]))
    >>> optimizer = SGD([p], lr=0.1, momentum=0.9)
    >>> for _ in range(2):
    ...     p.grad = np.array([1.0])
    ...     optimizer.step()
    >>> round(p.item(), 6)
    0.71
    """

    def __init__(
        self, params: Params, lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
        weight_decay: float = 0.0, nesterov: bool = False, *, maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize,
        })

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        number("momentum", group["momentum"])
        number("dampening", group["dampening"], -math.inf)
        if flag("nesterov", group["nesterov"]) and not (group["momentum"] > 0 and group["dampening"] == 0):
            raise ValueError("nesterov needs momentum > 0 and dampening = 0")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _update(self, p: Array, g: Array, state: list[Array], step: Step) -> None:
        group = step.group
        _core.sgd(
            p, g, state[0] if state else None, group["lr"], group["weight_decay"], group["momentum"],
            1 if step.fresh else 1 - group["dampening"], group["nesterov"], group["maximize"],
        )
