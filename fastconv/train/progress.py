# SPDX-License-Identifier: BSD-3-Clause
"""What a person sees while `fit` runs: a bar per epoch on a terminal, a line per epoch elsewhere."""

import importlib.util
import sys
from collections.abc import Mapping
from typing import Any

from fastconv._extras import require
from fastconv.ops._check import shown
from fastconv.train.callbacks import Callback

#: The bar comes first and is short so that nothing moves when the line after it grows.
BAR = "|{bar:5}| {desc}"

#: Numbers of an epoch that are not told in its line.
UNTOLD = ("lr", "images_per_second")


def reporter(verbose: int | str) -> list[Callback]:
    """The callbacks that `verbose` stands for. Raises MissingExtra where a bar is asked for without tqdm."""
    if verbose not in ("auto", 0, 1, 2) or isinstance(verbose, bool):
        raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {shown(verbose)}")
    if verbose == "auto":
        verbose = 1 if sys.stdout.isatty() and importlib.util.find_spec("tqdm") else 2
    return [Bars(require("tqdm", extra="demo").tqdm)] if verbose == 1 else [Lines()] if verbose else []


class Lines(Callback):
    """One line per epoch, complete when the epoch is."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        print(describe(epoch + 1, self.training.epochs, logs), flush=True)


class Bars(Callback):
    """A tqdm bar while an epoch lasts, and its line when it is over."""

    def __init__(self, tqdm: Any) -> None:
        self.tqdm = tqdm
        self.bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, float]) -> None:
        self.bar = self.tqdm(
            total=len(self.training.train), initial=self.training.batch, bar_format=BAR, file=sys.stdout,
            desc=describe(epoch + 1, self.training.epochs, logs), dynamic_ncols=True, leave=False,
        )

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        text = describe(self.training.epoch + 1, self.training.epochs, logs)
        speed = self.training.images_per_second
        self.bar.set_description_str(f"{text}  {speed:6,.0f} images/s", refresh=False)
        self.bar.update(batch + 1 - self.bar.n)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.close()
        print(describe(epoch + 1, self.training.epochs, logs), flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def describe(number: int, epochs: int, logs: Mapping[str, float]) -> str:
    """An epoch's numbers, in 80 columns for loss and accuracy of both kinds of data.

    >>> describe(1, 20, {"loss": 1.75, "accuracy": 0.4, "val_loss": 0.62, "val_accuracy": 0.81, "lr": 0.1})
    'epoch  1/20  loss 1.7500  accuracy 0.4000  val_loss 0.6200  val_accuracy 0.8100'
    """
    numbers = [f"{name} {value:.4f}" for name, value in logs.items() if name not in UNTOLD]
    return "  ".join([f"epoch {number:{len(str(epochs))}d}/{epochs}", *numbers])
