# SPDX-License-Identifier: BSD-3-Clause
"""The training loop, its state, and the pass over data without learning.

A batch with its callbacks, and the end of an epoch with its callbacks, are each one step: Ctrl-C waits for its end. So
whenever KeyboardInterrupt comes, and before and after each step, `Training.state_dict` is a point to go on from.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

import fastconv
from fastconv import nn
from fastconv.data.loader import DataLoader
from fastconv.ops._check import shown
from fastconv.optim import Optimizer
from fastconv.random import get_rng_state, set_rng_state
from fastconv.train.history import History
from fastconv.train.interrupt import Unbroken
from fastconv.train.metrics import Array, Means, Metric

if TYPE_CHECKING:
    from fastconv.train.callbacks import Callback


class Diverged(ArithmeticError):
    """The loss is no longer a finite number; the learning rate is too high for this network and data."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode without gradients; afterwards each module is in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        with fastconv.no_grad():
            model.eval()
            yield
    finally:
        for module, training in modes:
            module.training = training


def judge(
    model: nn.Module, batches: DataLoader, loss: Callable[..., Any], metrics: Mapping[str, Metric]
) -> dict[str, float]:
    """The means of loss and metrics over one epoch of `batches`, without learning."""
    means = Means()
    with evaluating(model):
        for batch in batches:
            inputs, targets = pair(batch)
            outputs = model(inputs)
            value = loss(fastconv.tensor(outputs), fastconv.tensor(targets)).item()
            means.add(len(inputs), {"loss": value} | _measured(metrics, outputs, targets))
    return means.means()


def pair(batch: Any) -> tuple[Array, Array]:
    """TypeError for a batch that is not two arrays."""
    if not isinstance(batch, tuple) or len(batch) != 2:
        raise TypeError(f"a batch must be (inputs, targets), got {shown(batch)}: pass pairs of arrays or items")
    return batch


def _measured(metrics: Mapping[str, Metric], outputs: Any, targets: Array) -> dict[str, Any]:
    return {name: metric(np.asarray(outputs), targets) for name, metric in metrics.items()}


class Training:
    """A training under way; what callbacks look at and change.

    model, optimizer, loss, metrics, train, validation, epochs: as given to `fit`, the data as loaders.
    history: the epochs done. epoch: the number of the present one, from 0. batch: how many of its batches are done.
    stop: set it, and training ends with the epoch. whole: whether the model is between two steps.
    """

    def __init__(
        self, model: nn.Module, train: DataLoader, validation: DataLoader | None, optimizer: Optimizer,
        loss: Callable[..., Any], metrics: Mapping[str, Metric], epochs: int, callbacks: Sequence[Callback],
    ) -> None:
        self.model, self.optimizer, self.loss, self.metrics = model, optimizer, loss, metrics
        self.train, self.validation, self.epochs, self.callbacks = train, validation, epochs, callbacks
        self.history = History()
        self.stop = False
        self.whole = True
        self.batch = 0
        self._means = Means()
        self._seconds = 0.0
        self._rate = optimizer.param_groups[0]["lr"]
        self._position = _whole_epoch(train)

    @property
    def epoch(self) -> int:
        return len(self.history.rows)

    @property
    def names(self) -> list[str]:
        """What each epoch's numbers will be called, as far as it is known before the first."""
        learnt = ["loss", *self.metrics]
        return learnt + [f"val_{name}" for name in learnt] if self.validation else learnt

    @property
    def images_per_second(self) -> float:
        return self._means.count / max(self._seconds, 1e-9)

    def run(self) -> None:
        """Train to the end, from wherever this training stands."""
        try:
            while self.epoch < self.epochs and not self.stop:
                self._run_epoch()
        except KeyboardInterrupt:
            if self.whole:
                self._tell("on_interrupt")
            raise
        self._tell("on_train_end", dict(self.history.rows[-1]) if self.history.rows else {})

    def begin(self) -> None:
        """Tell the callbacks to begin; a checkpoint is loaded after this."""
        for callback in self.callbacks:
            callback.training = self
        self._tell("on_train_begin", {})

    def close(self) -> None:
        self._tell("close")

    def _tell(self, event: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(*arguments)

    def _run_epoch(self) -> None:
        self._tell("on_epoch_begin", self.epoch, {})
        self.model.train()
        start = time.perf_counter() - self._seconds
        for inputs, targets in map(pair, self.train):
            with self._step():
                self._tell("on_batch_begin", self.batch, {})
                self._learn(inputs, targets)
                self._seconds = time.perf_counter() - start
                self.batch += 1
                self._tell("on_batch_end", self.batch - 1, self._means.means())
        tested = judge(self.model, self.validation, self.loss, self.metrics) if self.validation else {}
        with self._step():
            self._end_epoch(tested)

    @contextmanager
    def _step(self) -> Iterator[None]:
        with Unbroken():
            self.whole = False
            yield
            self.whole = True

    def _learn(self, inputs: Array, targets: Array) -> None:
        """Forward, loss, backward, update; a loss that is no number is found before it reaches the weights."""
        self.optimizer.zero_grad()
        outputs = self.model(inputs)
        loss = self.loss(outputs, fastconv.tensor(targets))
        value = loss.item()
        penalty = nn.regularization_loss(self.model)
        values: dict[str, Any] = {"loss": value} | _measured(self.metrics, outputs, targets)
        if penalty.requires_grad:
            values["penalty"] = penalty.item()
            loss = loss + penalty
        if not math.isfinite(value + values.get("penalty", 0.0)):
            raise Diverged(f"the loss became {value} in epoch {self.epoch + 1}; try a lower learning rate")
        loss.backward()
        self.optimizer.step()
        self._rate = self.optimizer.param_groups[0]["lr"]    # before a schedule sets the next one
        self._means.add(len(inputs), values)

    def _end_epoch(self, tested: Mapping[str, float]) -> None:
        row = self._means.means() | {f"val_{name}": value for name, value in tested.items()}
        row |= {"lr": self._rate, "images_per_second": self.images_per_second}
        number = self.epoch
        self.history.rows.append(row)
        self.batch, self._means, self._seconds, self._position = 0, Means(), 0.0, self.train.state_dict()
        self._tell("on_epoch_end", number, dict(row))

    # -- Saving and loading.

    def state_dict(self) -> dict[str, Any]:
        """All that what comes next depends on, but for the data and what was given to `fit`."""
        return {
            "model": self.model.state_dict(),
            "optimizer": {"type": type(self.optimizer).__name__, **self.optimizer.state_dict()},
            "loader": {**self._position, "batch": self.batch},
            "random": dict(get_rng_state()),
            "history": [dict(row) for row in self.history.rows],
            "means": self._means.state_dict(),
            "seconds": self._seconds,
            "rate": self._rate,
            "stop": self.stop,
            "callbacks": [[type(c).__name__, state] for c in self.callbacks if (state := c.state_dict())],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken. ValueError, with nothing changed, if it is of another training."""
        before = self.state_dict()
        try:
            _compare(before, state)
            self._load(state)
        except Exception as error:
            self._load(before)
            if isinstance(error, (KeyError, TypeError, AttributeError)):
                raise ValueError(f"it is incomplete or has values of a wrong kind: {error}") from error
            raise

    def _load(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.train.load_state_dict(state["loader"])
        set_rng_state(state["random"])
        self.history.rows[:] = [dict(row) for row in state["history"]]
        self._means.load_state_dict(state["means"])
        self._seconds, self._rate, self.stop = float(state["seconds"]), float(state["rate"]), bool(state["stop"])
        self._position, self.batch = dict(state["loader"]), state["loader"]["batch"]
        self.optimizer.stepped = self.optimizer.stepped or bool(self.epoch or self.batch)
        with_state = [callback for callback in self.callbacks if callback.state_dict()]
        for callback, (_, part) in zip(with_state, state["callbacks"], strict=True):
            callback.load_state_dict(part)


def _whole_epoch(loader: DataLoader) -> dict[str, Any]:
    """Where the loader stands; a loop that was left early counts as an epoch, and the next one is begun."""
    state = loader.state_dict()
    if state["batch"]:
        loader.load_state_dict(state | {"epoch": state["epoch"] + 1, "batch": 0})
    return loader.state_dict()


def _compare(mine: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """ValueError where the state is that of another optimiser, other callbacks or another element type."""
    saved, present = other["optimizer"]["type"], mine["optimizer"]["type"]
    if saved != present:
        raise ValueError(f"optimizer: it was written with {saved}, got {present}")
    names, others = ([name for name, _ in state["callbacks"]] for state in (mine, other))
    if names != others:
        raise ValueError(f"callbacks: it was written with {others or 'none that keep a state'}, got {names or 'none'}")
    for name, array in mine["model"].items():
        dtype = getattr(other["model"].get(name), "dtype", array.dtype)
        if dtype != array.dtype:
            raise ValueError(f"model: {name} has element type {dtype} there, got a model with {array.dtype}")
