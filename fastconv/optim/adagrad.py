# SPDX-License-Identifier: BSD-3-Clause
"""Adagrad."""

from __future__ import annotations

from typing import Any

from fastconv import _core
from fastconv.nn._common import number
from fastconv.optim.base import Array, Optimizer, Params, Step


class Adagrad(Optimizer):
    """Steps scaled by the sum of all squared gradients (Duchi, Hazan and Singer, 2011).

        g += weight_decay * p
        v += g^2                        (v starts at initial_accumulator_value)
        p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(v) + eps)

    maximize: go up instead of down.

    >>> import numpy as np
    >>> from fastconv import nn
    >>> p = nn.Parameter(np.array([1.0]))
    >>> p.grad = np.array([123.0])
    >>> Adagrad([p], lr=0.1).step()  # the first step is as long as lr, whatever the gradient
    >>> round(p.item(), 6)
    0.9
    """

    def __init__(
        self, params: Params, lr: float = 1e-2, lr_decay: float = 0.0, weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0, eps: float = 1e-10, *, maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "maximize": maximize,
        })

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        for name in ("lr_decay", "eps", "initial_accumulator_value"):
            number(name, group[name])

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("sum",)

    def _initial(self, group: dict[str, Any]) -> float:
        value: float = group["initial_accumulator_value"]
        return value

    def _update(self, p: Array, g: Array, state: list[Array], step: Step) -> None:
        group = step.group
        rate = group["lr"] / (1 + (step.t - 1) * group["lr_decay"])
        _core.adagrad(p, g, state[0], rate, group["weight_decay"], group["eps"], group["maximize"])
