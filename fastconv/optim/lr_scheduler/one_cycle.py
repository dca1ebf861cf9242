# SPDX-License-Identifier: BSD-3-Clause
"""The schedule of one cycle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastconv.nn._common import number
from fastconv.ops._check import flag, integer, word
from fastconv.optim.base import Optimizer
from fastconv.optim.lr_scheduler.base import LRScheduler, per_group, the_optimizer

_BEGIN, _TOP, _END = "initial_lr", "max_lr", "min_lr"
_SLOW, _FAST = "base_momentum", "max_momentum"


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to max_lr, then down to max_lr / div_factor / final_div_factor (Smith, 2018).

    Called once for each batch: total_steps of them, or epochs * steps_per_epoch. The rise takes the fraction
    ``pct_start`` of them. Momentum, or the first of Adam's betas, goes the opposite way, from max_momentum to
    base_momentum and back, unless ``cycle_momentum=False``.

    anneal_strategy: "cos" or "linear". three_phase: down to max_lr / div_factor as fast as up, and only then further.
    max_lr, base_momentum, max_momentum: a number, or a list of one for each group.

    ValueError for a step beyond the total.

    >>> import numpy as np
    >>> from fastconv import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=1.0, momentum=0.9)
    >>> scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(9):
    ...     optimizer.step()
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> [round(rate, 2) for rate in rates]
    [0.04, 0.52, 1.0, 0.95, 0.81, 0.61, 0.39, 0.19, 0.05, 0.0]
    """

    def __init__(
        self, optimizer: Optimizer, max_lr: float | Sequence[float], total_steps: int | None = None,
        epochs: int | None = None, steps_per_epoch: int | None = None, pct_start: float = 0.3,
        anneal_strategy: str = "cos", cycle_momentum: bool = True, base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95, div_factor: float = 25.0, final_div_factor: float = 1e4,
        three_phase: bool = False, last_epoch: int = -1,
    ) -> None:
        the_optimizer(optimizer)
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        share, three = number("pct_start", pct_start, 0, 1), flag("three_phase", three_phase)
        self._schedule_phases = _phases(self.total_steps, share, three)
        self._anneal_func_type = word("anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.cycle_momentum = flag("cycle_momentum", cycle_momentum)
        if self.cycle_momentum:
            self.use_beta1 = "betas" in optimizer.defaults
            if not self.use_beta1 and "momentum" not in optimizer.defaults:
                raise ValueError(f"cycle_momentum needs momentum or betas, and {type(optimizer).__name__} has neither: "
                                 "pass cycle_momentum=False")
        tops = per_group("max_lr", max_lr, optimizer)
        slow = per_group("base_momentum", base_momentum, optimizer, 1)
        fast = per_group("max_momentum", max_momentum, optimizer, 1)
        divisors = _divisor("div_factor", div_factor), _divisor("final_div_factor", final_div_factor)
        if integer("last_epoch", last_epoch, -1) == -1:
            for i, group in enumerate(optimizer.param_groups):
                begin = tops[i] / divisors[0]
                group.update({_BEGIN: begin, _TOP: tops[i], _END: begin / divisors[1]})
                if self.cycle_momentum:
                    group.update({_SLOW: slow[i], _FAST: fast[i]})
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The learning rate of each group at t = last_epoch; the momentum is set too."""
        if self.last_epoch > self.total_steps:
            raise ValueError(f"step() was called {self.last_epoch} times, but total_steps is {self.total_steps}")
        start = 0.0
        for phase in self._schedule_phases[:-1]:
            if self.last_epoch <= phase["end_step"]:
                break
            start = phase["end_step"]
        else:
            phase = self._schedule_phases[-1]
        # Without steps on the way up, or with one step in all, the phase is over when it begins.
        length = phase["end_step"] - start
        done = (self.last_epoch - start) / length if length else 1.0
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                self._set_momentum(group, self._between(group, phase, "momentum", done))
        return [self._between(group, phase, "lr", done) for group in self.optimizer.param_groups]

    def _between(self, group: dict[str, Any], phase: dict[str, Any], what: str, done: float) -> float:
        first, last = group[phase[f"start_{what}"]], group[phase[f"end_{what}"]]
        if self._anneal_func_type == "cos":
            return float(last + (first - last) / 2 * (math.cos(math.pi * done) + 1))
        return float((last - first) * done + first)

    def _set_momentum(self, group: dict[str, Any], value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value

    def _restart(self) -> None:
        """Go to t = 0 now."""
        self.last_epoch = 0
        self._set(self.get_lr())


def _phases(total: int, share: float, three: bool) -> list[dict[str, Any]]:
    """When each phase ends, counting steps from 0, and between which settings of the group it leads."""
    up = share * total - 1
    if not three:
        return [_phase(up, _BEGIN, _TOP, _FAST, _SLOW), _phase(total - 1, _TOP, _END, _SLOW, _FAST)]
    return [_phase(up, _BEGIN, _TOP, _FAST, _SLOW), _phase(2 * share * total - 2, _TOP, _BEGIN, _SLOW, _FAST),
            _phase(total - 1, _BEGIN, _END, _FAST, _FAST)]


def _phase(end: float, *names: str) -> dict[str, Any]:
    keys = ("start_lr", "end_lr", "start_momentum", "end_momentum")
    return {"end_step": end, **dict(zip(keys, names, strict=True))}


def _total(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is not None:
        return integer("total_steps", total_steps, 1)
    if epochs is None or steps_per_epoch is None:
        raise ValueError("total_steps, or epochs and steps_per_epoch, must be given")
    return integer("epochs", epochs, 1) * integer("steps_per_epoch", steps_per_epoch, 1)


def _divisor(name: str, value: float) -> float:
    if number(name, value) == 0:
        raise ValueError(f"{name} must be greater than 0, got 0")
    return float(value)
