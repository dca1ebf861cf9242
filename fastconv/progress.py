# SPDX-License-Identifier: BSD-3-Clause
"""What a person sees while `fit` runs: a bar per epoch on a terminal, a line per epoch elsewhere."""

import sys
from typing import Any

from fastconv._extras import require
from fastconv.train import Callback, Epoch, Progress

#: The bar comes first and is short so that a finished line fits 80 columns and nothing moves when it grows.
BAR = "|{bar:5}| {desc}"


def reporter() -> Callback:
    """The callback that suits standard output. Raises MissingExtra on a terminal without tqdm."""
    return Bars(require("tqdm", extra="demo").tqdm) if sys.stdout.isatty() else Lines()


class Lines(Callback):
    """One line per epoch, complete when the epoch is."""

    def epoch_done(self, epoch: Epoch) -> None:
        print(describe(epoch), flush=True)


class Bars(Callback):
    """One tqdm bar per epoch, which stays as that epoch's line."""

    def __init__(self, tqdm: Any) -> None:
        self.tqdm = tqdm
        self.bar: Any = None

    def epoch_begins(self, progress: Progress) -> None:
        self.bar = self.tqdm(
            total=progress.images,
            desc=describe(progress),
            bar_format=BAR,
            file=sys.stdout,
            dynamic_ncols=True,
        )

    def batch_done(self, progress: Progress) -> None:
        self.bar.set_description_str(describe(progress), refresh=False)
        self.bar.update(progress.seen - self.bar.n)

    def epoch_done(self, epoch: Epoch) -> None:
        self.bar.set_description_str(describe(epoch))
        self.close()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def describe(state: Progress | Epoch) -> str:
    """An epoch's numbers so far. The accuracy on the test images is known only once it is over.

    >>> describe(Epoch(1, 20, 1.75, 0.4, 0.62, 0.81, 7200.0))
    'epoch  1/20  loss 1.7500  accuracy 0.4000   7,200 images/s  test 0.8100'
    """
    title = f"epoch {state.number:{len(str(state.epochs))}d}/{state.epochs}"
    learnt = f"loss {state.loss:.4f}  accuracy {state.accuracy:.4f}"
    text = f"{title}  {learnt}  {state.images_per_second:6,.0f} images/s"
    return f"{text}  test {state.test_accuracy:.4f}" if isinstance(state, Epoch) else text
