# SPDX-License-Identifier: BSD-3-Clause
"""Schedules that go from one rate to the next: steps, a cosine, a line."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from fastconv.nn._common import number
from fastconv.ops._check import integer
from fastconv.optim.base import Optimizer
from fastconv.optim.lr_scheduler.base import LRScheduler, milestone_list


class StepLR(LRScheduler):
    """lr *= gamma after every ``step_size`` steps.

    >>> import numpy as np
    >>> from fastconv import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=8.0)
    >>> scheduler = StepLR(optimizer, 2, gamma=0.5)
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [2.0]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = integer("step_size", step_size, 1)
        self.gamma = number("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base: float) -> float:
        return lr if self.last_epoch % self.step_size else lr * self.gamma


class MultiStepLR(LRScheduler):
    """lr *= gamma at each of the ``milestones``, as often as it is among them.

    >>> import numpy as np
    >>> from fastconv import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=8.0)
    >>> scheduler = MultiStepLR(optimizer, [1, 3], gamma=0.5)
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [2.0]
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = milestone_list(milestones)
        self.gamma = number("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base: float) -> float:
        return float(lr * self.gamma ** self.milestones.count(self.last_epoch))

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """As the base's; PyTorch's milestones are a Counter, which JSON would not keep."""
        self._check_state(state_dict)
        given = state_dict["milestones"]
        if isinstance(given, Mapping):
            given = [t for t, times in given.items() for _ in range(times)]
        super().load_state_dict({**state_dict, "milestones": milestone_list(given)})


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial lr - eta_min) (1 + cos(pi t / T_max)) / 2: down in T_max steps, then up again.

    >>> import numpy as np
    >>> from fastconv import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=8.0)
    >>> scheduler = CosineAnnealingLR(optimizer, T_max=4)
    >>> for _ in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> round(scheduler.get_last_lr()[0], 6)
    4.0
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = integer("T_max", T_max, 1)
        self.eta_min = number("eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base: float) -> float:
        """By the ratio of the formula at t and at t - 1, so that other schedules keep their part in lr."""
        t, period, low = self.last_epoch, self.T_max, self.eta_min
        if self._step_count == 1:    # going on from last_epoch
            return lr
        if (t - 1 - period) % (2 * period) == 0:    # at t - 1 the formula was 0
            return lr + (base - low) * (1 - math.cos(math.pi / period)) / 2
        ratio = (1 + math.cos(math.pi * t / period)) / (1 + math.cos(math.pi * (t - 1) / period))
        return ratio * (lr - low) + low


class LinearLR(LRScheduler):
    """lr = initial lr times a factor that goes linearly from start_factor to end_factor in ``total_iters`` steps.

    The usual warm-up; what comes after it is the business of :class:`SequentialLR`.

    >>> import numpy as np
    >>> from fastconv import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=8.0)
    >>> scheduler = LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> scheduler.get_last_lr()
    [4.0]
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [6.0]
    """

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = number("start_factor", start_factor, 0, 1)
        if self.start_factor == 0:
            raise ValueError("start_factor must be greater than 0, got 0: no factor leads away from a rate of 0")
        self.end_factor = number("end_factor", end_factor, 0, 1)
        self.total_iters = integer("total_iters", total_iters, 0)
        super().__init__(optimizer, last_epoch)

    def _start(self, lr: float) -> float:
        return lr * self.start_factor

    def _next(self, lr: float, base: float) -> float:
        if self._step_count == 1 or self.last_epoch > self.total_iters:
            return lr
        rise = self.end_factor - self.start_factor
        return lr * (1 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise))
