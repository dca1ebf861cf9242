# SPDX-License-Identifier: BSD-3-Clause
"""The callbacks, which fastconv.callbacks makes public."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastconv import nn
from fastconv._files import remove_leftovers
from fastconv.nn._common import number
from fastconv.ops._check import flag, integer, shown, word
from fastconv.train.checkpoint import save_checkpoint

if TYPE_CHECKING:
    from fastconv.optim.lr_scheduler import LRScheduler
    from fastconv.train.loop import Training

__all__ = ["Callback", "Checkpoint", "EarlyStopping", "LearningRateSchedule"]

#: What is better when it is large; all else is a loss.
LARGE_IS_GOOD = ("accuracy", "auc", "precision", "recall")


class Callback:
    """Told by `fit` what happens. Override what is of interest.

    training: the training under way, a :class:`fastconv.train.Training`: its model, optimizer, history, epoch, and
    `stop`, which ends it with the epoch. Epochs and batches count from 0. logs: numbers by name; within an epoch the
    means so far, at its end all that the history gets.

    A callback on whose past its future depends gives it in state_dict, so that checkpoints hold it.
    """

    training: Training

    @property
    def model(self) -> nn.Module:
        return self.training.model

    def on_train_begin(self, logs: dict[str, float]) -> None:
        """Nothing is done yet, and no checkpoint loaded."""

    def on_train_end(self, logs: dict[str, float]) -> None:
        """All epochs are done, or `stop` was set."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, float]) -> None:
        """The first batch comes next; after an interruption the first that was not done."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """The validation data have been looked at too."""

    def on_batch_begin(self, batch: int, logs: dict[str, float]) -> None:
        """The batch is there."""

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """The optimiser has taken a step."""

    def on_interrupt(self) -> None:
        """Ctrl-C was pressed; the model is between two steps."""

    def close(self) -> None:
        """Training is over, well or by an exception."""

    def state_dict(self) -> dict[str, Any]:
        """Numbers, words, None, arrays, and lists and dicts of these; empty for a callback without a past."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there. ValueError or KeyError for the state of something else."""


class _Monitor:
    """Whether a number among the logs is the best so far. A NaN never is."""

    def __init__(self, name: str, mode: str, min_delta: float) -> None:
        if not isinstance(name, str):
            raise TypeError(f"monitor must be the name of a loss or metric, such as 'val_loss', got {shown(name)}")
        word("mode", mode, ("auto", "min", "max"))
        large = mode == "max" or (mode == "auto" and name.endswith(LARGE_IS_GOOD))
        self.name = name
        self.sign = 1.0 if large else -1.0
        self.min_delta = number("min_delta", min_delta)
        self.best = -math.inf

    def begin(self, training: Training) -> None:
        """ValueError if nothing of that name will be there."""
        if self.name not in training.names:
            hint = ": pass validation data" if self.name.startswith("val_") and training.validation is None else ""
            raise ValueError(f"monitor must be one of {', '.join(training.names)}, got {self.name!r}{hint}")
        self.best = -math.inf

    def improved(self, logs: Mapping[str, float]) -> bool:
        value = self.sign * logs[self.name]
        better = value > self.best + (self.min_delta if math.isfinite(self.best) else 0)
        self.best = value if better else self.best
        return better


class EarlyStopping(Callback):
    """Stop once `monitor` has not become better in `patience` epochs, or for patience 0 at the first that is not.

    monitor: a name of the history.
    min_delta: what must be gained to count as better.
    mode: "min", small is good; "max"; "auto", large is good for accuracies, small for all else.
    restore_best: when training ends, give the model the weights of its best epoch.
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 0, *, min_delta: float = 0.0, mode: str = "auto",
        restore_best: bool = False,
    ) -> None:
        self._monitor = _Monitor(monitor, mode, min_delta)
        self.patience = integer("patience", patience, 0)
        self.restore_best = flag("restore_best", restore_best)
        self.wait = 0
        self.best_epoch: int | None = None
        self._weights: dict[str, Any] | None = None

    def on_train_begin(self, logs: dict[str, float]) -> None:
        self._monitor.begin(self.training)
        self.wait, self.best_epoch, self._weights = 0, None, None

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if self._monitor.improved(logs):
            self.wait, self.best_epoch = 0, epoch
            self._weights = self.model.state_dict() if self.restore_best else None
        else:
            self.wait += 1
            self.training.stop |= self.wait >= max(self.patience, 1)

    def on_train_end(self, logs: dict[str, float]) -> None:
        if self._weights is not None:
            self.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._monitor.best, "wait": self.wait, "best_epoch": self.best_epoch, "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._monitor.best, self.wait = state["best"], state["wait"]
        self.best_epoch, self._weights = state["best_epoch"], state["weights"]

    def __repr__(self) -> str:
        return f"EarlyStopping(monitor={self._monitor.name!r}, patience={self.patience})"


class Checkpoint(Callback):
    """Write all that training depends on into a file, from which `fit(..., resume=path)` goes on to the same bits.

    path: of the file, which is replaced as a whole each time.
    every: how many epochs lie between two.
    batches: within an epoch, write also after so many batches.
    keep_best: write a second file, NAME.best.npz, whenever `monitor` is the best so far.

    Ctrl-C writes one too, of the last complete step, before KeyboardInterrupt goes on. At the end of an epoch other
    callbacks come first, whatever the order they are given in.
    """

    def __init__(
        self, path: str | Path, every: int = 1, *, batches: int | None = None, keep_best: bool = False,
        monitor: str = "val_loss", mode: str = "auto",
    ) -> None:
        if not isinstance(path, (str, Path)):
            raise TypeError(f"path must be the name of a file, got {shown(path)}")
        self.path = Path(path)
        self.every = integer("every", every, 1)
        self.batches = None if batches is None else integer("batches", batches, 1)
        self.keep_best = flag("keep_best", keep_best)
        self._monitor = _Monitor(monitor, mode, 0.0)

    @property
    def best_path(self) -> Path:
        """Where the best is kept: run.best.npz beside run.npz."""
        return self.path.with_name(f"{self.path.stem}.best{self.path.suffix}")

    def on_train_begin(self, logs: dict[str, float]) -> None:
        if not self.path.parent.is_dir():
            raise ValueError(f"path must lie in a directory that exists, got {self.path}: make the directory first")
        if self.path.is_dir():
            raise ValueError(f"path must be the name of a file, got the directory {self.path}")
        if self.keep_best:
            self._monitor.begin(self.training)
        for path in (self.path, self.best_path):
            remove_leftovers(path)

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        if self.batches and (batch + 1) % self.batches == 0:
            self.save()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        best = self.keep_best and self._monitor.improved(logs)
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.training.epochs or self.training.stop:
            self.save()
        if best:
            save_checkpoint(self.best_path, self.training.state_dict())

    def on_interrupt(self) -> None:
        self.save()

    def save(self) -> None:
        """Write the file now."""
        save_checkpoint(self.path, self.training.state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._monitor.best} if self.keep_best else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._monitor.best = state["best"]


class LearningRateSchedule(Callback):
    """Call `scheduler.step()` after each epoch, or after each batch with per="batch".

    scheduler: of fastconv.optim.lr_scheduler, made for the optimiser that `fit` is given.
    monitor: what ReduceLROnPlateau is told.
    """

    def __init__(self, scheduler: LRScheduler, per: str = "epoch", monitor: str = "val_loss") -> None:
        from fastconv.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau  # most programs do without

        if not isinstance(scheduler, LRScheduler):
            raise TypeError(f"scheduler must be one of fastconv.optim.lr_scheduler, got {shown(scheduler)}")
        self.scheduler = scheduler
        self.per = word("per", per, ("epoch", "batch"))
        self._monitor = _Monitor(monitor, "auto", 0.0) if isinstance(scheduler, ReduceLROnPlateau) else None
        if self._monitor and per == "batch":
            raise ValueError("per must be 'epoch' for ReduceLROnPlateau, whose monitor is known at the end of it")

    def on_train_begin(self, logs: dict[str, float]) -> None:
        if self.scheduler.optimizer is not self.training.optimizer:
            raise ValueError("scheduler is one of another optimizer: make it for the optimizer that fit is given")
        if self._monitor:
            self._monitor.begin(self.training)

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        if self.per == "batch":
            self.scheduler.step()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if self._monitor:
            self.scheduler.step(logs[self._monitor.name])    # type: ignore[call-arg]
        elif self.per == "epoch":
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        return self.scheduler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.scheduler.load_state_dict(state)
