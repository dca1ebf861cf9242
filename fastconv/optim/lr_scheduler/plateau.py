# SPDX-License-Identifier: BSD-3-Clause
"""A schedule that looks at what training came to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from fastconv.nn._common import number
from fastconv.ops._check import integer, word
from fastconv.optim.base import Optimizer
from fastconv.optim.lr_scheduler.base import LRScheduler, per_group, the_optimizer


class ReduceLROnPlateau(LRScheduler):
    """lr *= factor when ``step(metrics)`` has seen nothing better than before ``patience + 1`` times in a row.

    mode: "min", small is good, or "max".
    threshold: what counts as better is below best * (1 - threshold), or with threshold_mode "abs" below
        best - threshold; with "max" above, with a plus.
    cooldown: after a reduction so many steps count nothing.
    min_lr: no rate goes below, a number or one for each group. eps: a reduction by less is not made.

    A NaN is never better.

    >>> import numpy as np
    >>> from fastconv import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=8.0)
    >>> scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.0, 2.5):
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr()
    [4.0]
    """

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, threshold_mode: str = "rel", cooldown: int = 0,
        min_lr: float | Sequence[float] = 0, eps: float = 1e-8,
    ) -> None:
        self.optimizer = the_optimizer(optimizer)
        self.mode = word("mode", mode, ("min", "max"))
        self.factor = number("factor", factor, 0, 1)
        if self.factor == 1:
            raise ValueError("factor must be less than 1, got 1: the rate would stay what it is")
        self.patience = integer("patience", patience, 0)
        self.threshold = number("threshold", threshold)
        self.threshold_mode = word("threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown = integer("cooldown", cooldown, 0)
        self.min_lrs = per_group("min_lr", min_lr, optimizer)
        self.eps = number("eps", eps)
        self.last_epoch = 0
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: SupportsFloat | None = None) -> None:
        """Take note of a loss, or of what else shall become small, or large with mode "max"."""
        try:
            current = float(metrics)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            kind = type(metrics).__name__
            raise TypeError(f"metrics must be a number, such as the validation loss, got {kind}") from None
        self.last_epoch += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if self.num_bad_epochs > self.patience:
            rates = [self._reduced(rate, low) for rate, low in zip(rates, self.min_lrs, strict=True)]
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._set(rates)

    def _is_better(self, current: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "rel":
            return sign * current > sign * self.best * (1 + sign * self.threshold)
        return sign * current > sign * (self.best + sign * self.threshold)

    def _reduced(self, rate: float, low: float) -> float:
        new = max(rate * self.factor, low)
        return new if rate - new > self.eps else rate

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything but the optimiser, with what PyTorch keeps beside it."""
        worst = math.inf if self.mode == "min" else -math.inf
        low = set(self.min_lrs)
        return {**super().state_dict(), "mode_worse": worst, "default_min_lr": low.pop() if len(low) == 1 else None}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """As the base's; the settings are checked as the constructor's."""
        self._check_state(state_dict)
        word("mode", state_dict["mode"], ("min", "max"))
        word("threshold_mode", state_dict["threshold_mode"], ("rel", "abs"))
        super().load_state_dict(state_dict)
