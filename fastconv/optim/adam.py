# SPDX-License-Identifier: BSD-3-Clause
"""Adam and its relatives."""

from __future__ import annotations

import math
from typing import Any

from fastconv import _core
from fastconv.nn._common import number
from fastconv.ops._check import flag, shown
from fastconv.optim.base import Array, Optimizer, Params, Step


class Adam(Optimizer):
    """Steps scaled by running moments of the gradient (Kingma and Ba, 2014).

        g += weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)

    amsgrad: use the largest v so far. maximize: go up instead of down.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> p = nn.Parameter(np.array([1.0]))
    >>> p.grad = np.array([123.0])
    >>> Adam([p], lr=0.1).step()  # the first step is as long as lr, whatever the gradient
    >>> round(p.item(), 6)
    0.9
    """

    _decoupled = False

    def __init__(
        self, params: Params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, amsgrad: bool = False, *, maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize,
        })

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        number("eps", group["eps"])
        flag("amsgrad", group["amsgrad"])
        betas = group["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"betas must be a pair of numbers, got {shown(betas)}")
        for i, beta in enumerate(betas):
            if number(f"betas[{i}]", beta, 0, 1) == 1:
                raise ValueError(f"betas[{i}] must be less than 1, got 1")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if group["amsgrad"] else ()))

    def _update(self, p: Array, g: Array, state: list[Array], step: Step) -> None:
        group, lr, decay = step.group, step.group["lr"], step.group["weight_decay"]
        beta1, beta2 = group["betas"]
        if self._decoupled:
            decay, keep = 0, 1 - lr * decay
        else:
            keep = 1
        _core.adam(
            p, g, state[0], state[1], state[2] if group["amsgrad"] else None, lr / (1 - beta1**step.t), decay, keep,
            (beta1, beta2), math.sqrt(1 - beta2**step.t), group["eps"], group["maximize"],
        )


class AdamW(Adam):
    """Adam with decoupled decay (Loshchilov and Hutter, 2017): p *= 1 - lr * weight_decay, and g stays g.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> p = nn.Parameter(np.array([1.0]))
    >>> p.grad = np.array([123.0])
    >>> AdamW([p], lr=0.1, weight_decay=0.5).step()
    >>> round(p.item(), 6)
    0.85
    """

    _decoupled = True

    def __init__(
        self, params: Params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
