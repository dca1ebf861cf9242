# SPDX-License-Identifier: BSD-3-Clause
"""What all schedules share: counting the steps, setting the rates, saving and loading."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastconv.nn._common import number
from fastconv.ops._check import integer, shown
from fastconv.optim.base import Optimizer


class LRScheduler:
    """The base: counts the steps, sets the rates, saves and loads.

    A subclass defines ``_start``, the rate at t = 0, and ``_next``, that at t from that at t - 1; or ``get_lr``.

    last_epoch: the t to go on from, for an optimiser whose groups have "initial_lr"; -1 starts anew. Loading a state
    dict is the better way, because it restores everything.
    """

    _transient: tuple[str, ...] = ("optimizer",)

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = the_optimizer(optimizer)
        self.last_epoch = integer("last_epoch", last_epoch, -1)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ValueError(
                    f'last_epoch={last_epoch} goes on from a schedule, but param_groups[{i}] has no "initial_lr": '
                    "load the optimiser's state dict first, or start with last_epoch=-1"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self._begin()

    def _begin(self) -> None:
        """The step that the constructor takes."""
        self._step_count = 0
        self.step()

    def step(self) -> None:
        """Set the learning rates of the next epoch, or batch."""
        if self._step_count == 1 and not self.optimizer.stepped:
            warnings.warn(
                "scheduler.step() was called before optimizer.step(), so the first learning rate is skipped: "
                "call it after", UserWarning, stacklevel=2,
            )
        self._step_count += 1
        self.last_epoch += 1
        self._set(self.get_lr())

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group that step() has set."""
        return list(self._last_lr)

    def get_lr(self) -> list[float]:
        """The learning rate of each group at t = last_epoch, from that at t - 1."""
        groups = self.optimizer.param_groups
        if self.last_epoch == 0:
            return [self._start(group["lr"]) for group in groups]
        return [self._next(group["lr"], base) for group, base in zip(groups, self.base_lrs, strict=True)]

    def _start(self, lr: float) -> float:
        return lr

    def _next(self, lr: float, base: float) -> float:
        raise NotImplementedError

    def _restart(self) -> None:
        """Go to t = 0 now, from the initial rates."""
        self.last_epoch = 0
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base
        self._set(self.get_lr())

    def _set(self, rates: list[float]) -> None:
        rates = [max(rate, 0.0) for rate in rates]    # rounding may take what should be 0 a hair below
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = rates

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything but the optimiser: numbers, words, lists and dicts of them."""
        return {name: copy.deepcopy(value) for name, value in vars(self).items() if name not in self._transient}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state dict of the same kind of scheduler, PyTorch's too.

        ValueError, with nothing changed, where something is missing. The rates themselves are in the state of the
        optimiser.
        """
        self._check_state(state_dict)
        for name in vars(self):
            if name not in self._transient:
                setattr(self, name, copy.deepcopy(state_dict[name]))

    def _check_state(self, state_dict: Mapping[str, Any]) -> None:
        missing = [name for name in vars(self) if name not in self._transient and name not in state_dict]
        if missing:
            raise ValueError(f"state_dict is not that of a {type(self).__name__}: it lacks {', '.join(missing)}")


def the_optimizer(value: object) -> Optimizer:
    if not isinstance(value, Optimizer):
        raise TypeError(f"optimizer must be a fastconv.optim.Optimizer, got {type(value).__name__}")
    return value


def milestone_list(values: Iterable[int]) -> list[int]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"milestones must be numbers of steps, got {shown(values)}")
    return sorted(integer(f"milestones[{i}]", value, 0) for i, value in enumerate(values))


def per_group(
    name: str, value: float | Sequence[float], optimizer: Optimizer, high: float = math.inf
) -> list[float]:
    """A number for each group of parameters, between 0 and ``high``: one for all, or a list of them."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [number(name, value, 0, high)] * groups
    if len(value) != groups:
        raise ValueError(f"{name} must be a number or one for each of the {groups} groups, got {len(value)}")
    return [number(f"{name}[{i}]", v, 0, high) for i, v in enumerate(value)]
