# SPDX-License-Identifier: BSD-3-Clause
"""One schedule after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from fastconv.ops._check import integer
from fastconv.optim.base import Optimizer
from fastconv.optim.lr_scheduler.base import LRScheduler, milestone_list, the_optimizer
from fastconv.optim.lr_scheduler.plateau import ReduceLROnPlateau


class SequentialLR(LRScheduler):
    """One scheduler after the other: the next one starts, at its own t = 0, at each of the ``milestones``.

    schedulers: all of ``optimizer``, one more than there are milestones; ReduceLROnPlateau is not among them.

    >>> import numpy as np
    >>> from fastconv import nn, optim
    >>> from fastconv.optim.lr_scheduler import LinearLR, StepLR
    >>> optimizer = optim.SGD([nn.Parameter(np.zeros(1))], lr=8.0)
    >>> scheduler = SequentialLR(optimizer, [LinearLR(optimizer, 0.5), StepLR(optimizer, 1)], [1])
    >>> scheduler.get_last_lr()
    [4.0]
    """

    _transient = ("optimizer", "_schedulers")

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        self.optimizer = the_optimizer(optimizer)
        self._schedulers = list(schedulers)
        self._milestones = milestone_list(milestones)
        if len(self._milestones) != len(self._schedulers) - 1:
            raise ValueError(f"milestones must be one less than the {len(self._schedulers)} schedulers, "
                             f"got {len(self._milestones)}")
        for i, scheduler in enumerate(self._schedulers):
            if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
                raise TypeError(f"schedulers[{i}] must be a scheduler whose step() needs no number, "
                                f"got {type(scheduler).__name__}")
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"schedulers[{i}] belongs to another optimizer")
        self.last_epoch = integer("last_epoch", last_epoch, -1)
        self._undo()
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._begin()

    def _begin(self) -> None:
        self.last_epoch += 1
        first = self._running()
        first._begin()
        self._last_lr = first.get_last_lr()

    def _undo(self) -> None:
        """Take back the step that each scheduler took when it was made."""
        for scheduler in self._schedulers:
            scheduler.last_epoch -= 1
            if isinstance(scheduler, SequentialLR):
                scheduler._undo()

    def _running(self) -> LRScheduler:
        return self._schedulers[bisect_right(self._milestones, self.last_epoch)]

    def step(self) -> None:
        """Set the learning rates of the next epoch, or batch."""
        self.last_epoch += 1
        scheduler = self._running()
        if self.last_epoch in self._milestones:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def _restart(self) -> None:
        self.last_epoch = 0
        first = self._running()
        first._restart()
        self._last_lr = first.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state of all schedulers."""
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """As the base's."""
        self._check_state(state_dict)
        saved = state_dict.get("_schedulers", ())
        if len(saved) != len(self._schedulers):
            raise ValueError(f"state_dict has {len(saved)} schedulers, expected {len(self._schedulers)}")
        for mine, state in zip(self._schedulers, saved, strict=True):
            mine._check_state(state)
        super().load_state_dict(state_dict)
        for mine, state in zip(self._schedulers, saved, strict=True):
            mine.load_state_dict(state)
