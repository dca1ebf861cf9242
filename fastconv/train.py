# SPDX-License-Identifier: BSD-3-Clause
"""The training loop: `fit` and `evaluate`, for networks that tell classes of images apart.

It is written on the public API only, and is what `fastconv train` runs. What happens depends on the seeds
alone: the batches of an epoch come from a generator seeded by (seed, epoch), and every operation gives the
same bits for any number of threads.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

import fastconv
from fastconv import nn
from fastconv.data.dataset import Array, Dataset, batches
from fastconv.optim import Optimizer

EVALUATION_BATCH = 256


class Diverged(ArithmeticError):
    """The loss is no longer a finite number; the learning rate is too high for this network and data."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images came to. The test images were not learnt from."""

    number: int
    epochs: int
    loss: float
    accuracy: float
    test_loss: float
    test_accuracy: float
    images_per_second: float


class Evaluation(NamedTuple):
    """loss: the mean cross entropy. logits: (N, classes)."""

    loss: float
    accuracy: float
    logits: Array


@dataclass
class Progress:
    """The epoch so far; loss and accuracy are means over the images seen, each before it was learnt from."""

    number: int
    epochs: int
    images: int
    seen: int = 0
    correct: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0

    @property
    def loss(self) -> float:
        return self.loss_sum / max(self.seen, 1)

    @property
    def accuracy(self) -> float:
        return self.correct / max(self.seen, 1)

    @property
    def images_per_second(self) -> float:
        return self.seen / max(self.seconds, 1e-9)

    def add(self, loss: float, logits: Array, labels: Array) -> None:
        """Count one batch."""
        if not math.isfinite(loss):
            raise Diverged(f"the loss became {loss} in epoch {self.number}; try a lower learning rate")
        self.seen += len(labels)
        self.correct += int(np.count_nonzero(logits.argmax(axis=1) == labels))
        self.loss_sum += loss * len(labels)


class Callback:
    """Told by `fit` what happens. Override what is of interest."""

    def epoch_begins(self, progress: Progress) -> None:
        """Nothing of the epoch is done yet."""

    def batch_done(self, progress: Progress) -> None:
        """The optimiser has taken a step."""

    def epoch_done(self, epoch: Epoch) -> None:
        """The test images have been looked at too."""

    def close(self) -> None:
        """Training is over, well or by an exception."""


def linear_decay(done: float) -> float:
    """The learning rate, as a factor, when the fraction `done` of all steps is taken: from 1 down to 0.

    Large steps find the valley and small ones its floor: without decay the last steps still jump about, and
    the accuracy depends on which of them was the last.
    """
    return 1.0 - done


def fit(
    model: nn.Module,
    data: Dataset,
    optimizer: Optimizer,
    *,
    epochs: int,
    batch_size: int,
    seed: int = 0,
    shift: int = 0,
    schedule: Callable[[float], float] = linear_decay,
    callbacks: Sequence[Callback] = (),
) -> list[Epoch]:
    """Train `model` on data's training images by cross entropy, and judge it on the test images each epoch.

    model: maps (N, C, H, W) to (N, classes).
    optimizer: of model's parameters; the learning rates it holds are those of the first step.
    seed: of the order of the images and of their shifts; the initial weights are the caller's.
    shift: see data.batches.
    schedule: maps the fraction of steps taken to a factor for the learning rate.

    Returns one Epoch for each. Raises ValueError for epochs or batch_size below 1, Diverged.

    >>> from fastconv import data, models, optim
    >>> digits, model = data.load("digits"), models.build("lenet")
    >>> history = fit(model, digits, optim.Adam(model.parameters(), lr=3e-3), epochs=2, batch_size=32)
    >>> history[1].loss < history[0].loss
    True
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    step = _Step(model, optimizer, schedule, epochs * math.ceil(len(data.train_images) / batch_size))
    history = []
    try:
        for number in range(1, epochs + 1):
            progress = Progress(number, epochs, len(data.train_images))
            rng = np.random.default_rng((seed, number))
            _train_epoch(step, data, batch_size, rng, shift, progress, callbacks)
            history.append(_judge(model, data, progress))
            for callback in callbacks:
                callback.epoch_done(history[-1])
    finally:
        for callback in callbacks:
            callback.close()
    return history


def evaluate(model: nn.Module, images: Array, labels: Array) -> Evaluation:
    """The mean cross entropy and the accuracy of `model` on images (N, C, H, W) with labels (N,), N >= 1.

    The model is put into evaluation mode for this, and afterwards back into the mode it was in.
    """
    was_training = model.training
    model.eval()
    try:
        with fastconv.no_grad():
            logits = np.concatenate(
                [np.asarray(model(batch.images)) for batch in batches(images, labels, EVALUATION_BATCH)]
            )
            loss = nn.CrossEntropyLoss()(fastconv.tensor(logits), fastconv.tensor(labels)).item()
    finally:
        model.train(was_training)
    return Evaluation(loss, float(np.mean(logits.argmax(axis=1) == labels)), logits)


class _Step:
    """Forward, loss, backward, update; and the learning rate of each."""

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, schedule: Callable[[float], float], steps: int
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss = nn.CrossEntropyLoss()
        self.schedule = schedule
        self.steps = steps
        self.taken = 0
        self.first_rates = [group["lr"] for group in optimizer.param_groups]

    def __call__(self, images: Array, labels: Array) -> tuple[float, Array]:
        """The loss and the logits (n, classes) before the update."""
        factor = self.schedule(self.taken / self.steps)
        for group, rate in zip(self.optimizer.param_groups, self.first_rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.zero_grad()
        logits = self.model(images)
        loss = self.loss(logits, fastconv.tensor(labels))
        loss.backward()
        self.optimizer.step()
        self.taken += 1
        return loss.item(), logits.numpy()


def _train_epoch(
    step: _Step,
    data: Dataset,
    batch_size: int,
    rng: np.random.Generator,
    shift: int,
    progress: Progress,
    callbacks: Sequence[Callback],
) -> None:
    step.model.train()
    for callback in callbacks:
        callback.epoch_begins(progress)
    start = time.perf_counter()
    for batch in batches(data.train_images, data.train_labels, batch_size, rng, shift):
        progress.add(*step(batch.images, batch.labels), batch.labels)
        progress.seconds = time.perf_counter() - start
        for callback in callbacks:
            callback.batch_done(progress)


def _judge(model: nn.Module, data: Dataset, progress: Progress) -> Epoch:
    test = evaluate(model, data.test_images, data.test_labels)
    return Epoch(
        progress.number,
        progress.epochs,
        progress.loss,
        progress.accuracy,
        test.loss,
        test.accuracy,
        progress.images_per_second,
    )
